-- Verify topicbase:api/generate_mqtt_credentials on pg
BEGIN;
SELECT mqtt.verify_function(
    'api.generate_mqtt_credentials(uuid, text, text, text, timestamptz, boolean, boolean, text [], text [], uuid, numeric, integer)', true, 'v',
    '{authenticated,service_role}'
);
ROLLBACK;
