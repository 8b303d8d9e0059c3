-- Revert topicbase:api/generate_mqtt_credentials from pg
BEGIN;
DROP FUNCTION api.generate_mqtt_credentials(uuid, text, text, text, timestamptz, boolean, boolean, text [], text [], uuid, numeric, integer);
COMMIT;
