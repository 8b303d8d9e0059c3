-- Verify topicbase:api/mqtt_subscribe on pg
BEGIN;
SELECT mqtt.verify_function('api.mqtt_subscribe(uuid, text, integer, text, uuid, boolean, integer, boolean, boolean, jsonb)', false, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_subscription(uuid)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.mqtt_unsubscribe(uuid)', false, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_subscription_room(mqtt.device_integrations, text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.check_subscription(mqtt.device_integrations, text, integer, integer, text)', false, 's', '{authenticated,service_role}');
ROLLBACK;
