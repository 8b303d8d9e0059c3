-- Verify topicbase:api/get_vacuum_holders on pg
BEGIN;
SELECT mqtt.verify_function('api.get_vacuum_holders(interval)', true, 'v', '{service_role}');
ROLLBACK;
