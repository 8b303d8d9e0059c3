-- Verify topicbase:maintenance/write_rollups on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.number_series(uuid, mqtt.rollup_part [], integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.write_hours(uuid, mqtt.rollup_part [])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.write_minutes(uuid, mqtt.rollup_part [])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.write_days(uuid, uuid [], timestamptz)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.write_rollups(uuid, mqtt.rollup_part [])', true, 'v', '{}');
ROLLBACK;
