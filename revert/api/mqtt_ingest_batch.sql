-- Revert topicbase:api/mqtt_ingest_batch from pg
BEGIN;
DROP FUNCTION api.mqtt_ingest_batch(json);
COMMIT;
