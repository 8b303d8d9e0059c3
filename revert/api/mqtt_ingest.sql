-- Revert topicbase:api/mqtt_ingest from pg
BEGIN;
DROP FUNCTION api.mqtt_ingest(bytea);
DROP FUNCTION api.mqtt_ingest(xml);
DROP FUNCTION api.mqtt_ingest(text);
DROP FUNCTION api.mqtt_ingest(json);
DROP FUNCTION api.mqtt_ingest(text, json, json, json, text, text, text, json, text, text, text, json, json);
DROP FUNCTION mqtt.ingest_message(text, json, text, text, text, text, text, text, jsonb);
DROP FUNCTION mqtt.quick_document(text, text, text, text, text);
COMMIT;
