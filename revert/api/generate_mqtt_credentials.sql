-- Revert topicbase:api/generate_mqtt_credentials from pg
BEGIN;
DROP FUNCTION api.generate_mqtt_credentials(uuid, text, text, text, timestamptz, boolean, boolean, text [], text [], uuid, numeric, integer, text);
DROP FUNCTION mqtt.check_new_credential(text, text [], text [], text, timestamptz, numeric, integer);
DROP FUNCTION mqtt.credential_prefix(text, mqtt.device_integrations, mqtt.organizations, text);
COMMIT;
