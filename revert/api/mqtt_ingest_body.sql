-- Revert topicbase:api/mqtt_ingest_body from pg
BEGIN;
DROP FUNCTION api.mqtt_ingest_body(json);
COMMIT;
