-- Verify topicbase:api/device_presets on pg
BEGIN;
SELECT mqtt.verify_function('api.apply_device_preset(uuid, text, text)', false, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.moved_template(text, integer)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.list_device_presets()', false, 's', '{authenticated,service_role}');
ROLLBACK;
