-- Verify topicbase:maintenance/roll_up_readings on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.trim_rollups(integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.try_roll_up(uuid, bigint)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.roll_up_readings(integer)', true, 'v', '{}');
ROLLBACK;
