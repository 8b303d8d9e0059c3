-- Verify topicbase:api/get_caller on pg
BEGIN;
SELECT mqtt.verify_function('api.get_caller()', false, 's', '{authenticated,service_role}');
ROLLBACK;
