-- Verify topicbase:api/mqtt_callbacks on pg
BEGIN;
SELECT mqtt.verify_table('api.mqtt_callback_deliveries', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_function('mqtt.require_callback(uuid)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.rotate_mqtt_callback_secret(uuid, integer, jsonb, interval)', false, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.replay_mqtt_callback_deliveries(uuid, uuid[])', true, 'v', '{authenticated,service_role}');
ROLLBACK;
