-- Verify topicbase:api/mqtt_hybrid_credentials on pg
BEGIN;
SELECT mqtt.verify_function(
    'api.mqtt_hybrid_credentials(text, uuid, uuid, uuid, text, text, text, timestamptz, text)', true, 'v', '{authenticated,service_role}'
);
ROLLBACK;
