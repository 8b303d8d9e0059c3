-- Revert topicbase:api_generate_mqtt_credentials from pg
BEGIN;
DROP FUNCTION api.generate_mqtt_credentials(uuid, text, text, text, timestamptz, boolean, boolean, text [], text [], uuid, numeric, integer);
DROP FUNCTION mqtt.broker_url(mqtt.device_integrations);
COMMIT;
