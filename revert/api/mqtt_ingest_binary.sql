-- Revert topicbase:api/mqtt_ingest_binary from pg
BEGIN;
DROP FUNCTION api.mqtt_ingest_binary(bytea);
DROP FUNCTION mqtt.ingest_bytes(bytea, text);
COMMIT;
