-- Verify topicbase:base/vacuum_holders on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.vacuum_holders(interval)', true, 'v', '{}');
ROLLBACK;
