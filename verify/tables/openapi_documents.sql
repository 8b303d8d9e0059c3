-- Verify topicbase:tables/openapi_documents on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.openapi_documents', '{}', '{}');
ROLLBACK;
