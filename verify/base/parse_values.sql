-- Verify topicbase:base/parse_values on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.try_timestamptz(text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.try_device_time(text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.device_time(jsonb)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.payload_time(jsonb)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.data_of_payload(jsonb, timestamptz)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.try_base64(text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.try_qos(text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.try_boolean(text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.is_uuid(text)', false, 'i', '{authenticated,service_role}');
ROLLBACK;
