-- Revert topicbase:api/mqtt_ingest from pg
BEGIN;
DROP FUNCTION api.mqtt_ingest(text, json, integer, boolean, text, text, uuid, text);
DROP FUNCTION mqtt.ingest_message(text, json, integer, boolean, text, text, uuid, text);
COMMIT;
