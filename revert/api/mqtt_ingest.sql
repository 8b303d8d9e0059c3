-- Revert topicbase:api/mqtt_ingest from pg
BEGIN;
DROP FUNCTION api.mqtt_ingest(text, json, json, json, text, text, text, json);
DROP FUNCTION mqtt.ingest_message(text, json, text, text, text, text, text, text);
COMMIT;
