-- Verify topicbase:vacuum_holders on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.vacuum_holders(interval)', true, 'v', '{}');
SELECT mqtt.verify_function('api.get_vacuum_holders(interval)', true, 'v', '{service_role}');
ROLLBACK;
