-- Verify topicbase:base/json_paths on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.is_much_to_compile(text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.path_bounds_reason(text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.path_reason(text)', false, 'i', '{authenticated,service_role}');
ROLLBACK;
