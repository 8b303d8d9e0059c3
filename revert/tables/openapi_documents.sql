-- Revert topicbase:tables/openapi_documents from pg
BEGIN;
DROP TABLE mqtt.openapi_documents;
COMMIT;
