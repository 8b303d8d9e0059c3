-- Verify topicbase:maintenance/trim_small_tables on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.trim_small_table(text, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.trim_packs_of(integer, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.try_retention(regclass, text, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.trim_packs(integer)', true, 'v', '{}');
ROLLBACK;
