-- Verify topicbase:api/cancel_mqtt_publish on pg
BEGIN;
SELECT mqtt.verify_function('api.cancel_mqtt_publish(uuid [])', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.lock_outbound()', false, 'v', '{}');
ROLLBACK;
