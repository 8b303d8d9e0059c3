-- Verify topicbase:api_mqtt_publish on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.first_json_fault(json)', false, 'i', '{}');
SELECT mqtt.verify_function('api.mqtt_publish(uuid, json, uuid)', true, 'v', '{authenticated,service_role}');
ROLLBACK;
