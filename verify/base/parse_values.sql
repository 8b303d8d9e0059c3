-- Verify topicbase:base/parse_values on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.try_timestamptz(text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.try_base64(text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.is_uuid(text)', false, 'i', '{authenticated,service_role}');
ROLLBACK;
