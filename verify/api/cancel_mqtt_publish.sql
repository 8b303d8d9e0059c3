-- Verify topicbase:api/cancel_mqtt_publish on pg
BEGIN;
SELECT mqtt.verify_function('api.cancel_mqtt_publish(uuid [])', true, 'v', '{authenticated,service_role}');
ROLLBACK;
