-- Revert topicbase:api/mqtt_ingest_document from pg
BEGIN;
DROP FUNCTION api.mqtt_ingest_document(xml);
DROP FUNCTION api.mqtt_ingest_document(text);
DROP FUNCTION api.mqtt_ingest_document(json);
DROP FUNCTION api.mqtt_ingest_document(bytea);
COMMIT;
