-- Verify topicbase:api/mqtt_test_connection on pg
BEGIN;
SELECT mqtt.verify_function('api.mqtt_test_connection(uuid, uuid)', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.get_mqtt_request(uuid, numeric, text)', false, 'v', '{authenticated,service_role}');
ROLLBACK;
