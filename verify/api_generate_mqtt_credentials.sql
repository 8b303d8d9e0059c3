-- Verify topicbase:api_generate_mqtt_credentials on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.broker_url(mqtt.device_integrations)', false, 's', '{}');
SELECT mqtt.verify_function(
    'api.generate_mqtt_credentials(uuid, text, text, text, timestamptz, boolean, boolean, text [], text [], uuid, numeric, integer)', true, 'v',
    '{authenticated,service_role}'
);
ROLLBACK;
