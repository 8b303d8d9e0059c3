-- Revert topicbase:api/explain_mqtt_access from pg
BEGIN;
DROP FUNCTION api.explain_mqtt_access(uuid, text, text);
DROP FUNCTION mqtt.access_explanation(text, mqtt.mqtt_credentials, text, text, text, text);
COMMIT;
