-- Verify topicbase:api/get_system_status on pg
BEGIN;
SELECT mqtt.verify_function('api.get_system_status()', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.system_status()', false, 'v', '{}');
ROLLBACK;
