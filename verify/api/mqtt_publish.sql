-- Verify topicbase:api/mqtt_publish on pg
BEGIN;
SELECT mqtt.verify_function('api.mqtt_publish(uuid, json, uuid)', true, 'v', '{authenticated,service_role}');
ROLLBACK;
