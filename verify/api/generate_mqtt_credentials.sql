-- Verify topicbase:api/generate_mqtt_credentials on pg
BEGIN;
SELECT mqtt.verify_function(
    'api.generate_mqtt_credentials(uuid, text, text, text, timestamptz, boolean, boolean, text [], text [], uuid, numeric, integer, text)', true, 'v',
    '{authenticated,service_role}'
);
SELECT mqtt.verify_function('mqtt.credential_prefix(text, mqtt.device_integrations, mqtt.organizations, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.check_new_credential(text, text [], text [], text, timestamptz, numeric, integer)', false, 's', '{}');
ROLLBACK;
