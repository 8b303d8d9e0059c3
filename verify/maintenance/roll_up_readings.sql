-- Verify topicbase:maintenance/roll_up_readings on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.rollup_terms()', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.trim_rollups_of(uuid, bigint)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.try_organization(text, uuid, bigint)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.trim_rollups(integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.roll_up_readings(integer)', true, 'v', '{}');
ROLLBACK;
