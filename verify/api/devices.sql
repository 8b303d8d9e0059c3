-- Verify topicbase:api/devices on pg
BEGIN;
SELECT mqtt.verify_function('api.list_devices(integer, text, uuid, uuid)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.get_device(text, uuid, uuid, text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.sync_device(uuid, text, text, jsonb, uuid)', false, 'v', '{authenticated,service_role}');
ROLLBACK;
