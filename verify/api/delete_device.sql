-- Verify topicbase:api/delete_device on pg
BEGIN;
SELECT mqtt.verify_function('api.delete_device(text, boolean, uuid, uuid)', false, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.delete_device(mqtt.devices, boolean)', true, 'v', '{authenticated,service_role}');
ROLLBACK;
