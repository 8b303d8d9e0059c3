-- Verify topicbase:maintenance/roll_up_organization on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.roll_up_devices(uuid, uuid [], timestamptz, timestamptz)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.correct_rollups(mqtt.rollup_progress, uuid, timestamptz)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.correct_late_readings(mqtt.rollup_progress, bigint)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.roll_up_organization(uuid, bigint)', true, 'v', '{}');
ROLLBACK;
