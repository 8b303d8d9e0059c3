-- Verify topicbase:maintenance/delete_stored on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.leaf_tables(regclass)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.delete_stored(mqtt.deletions, regclass, boolean, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.delete_dead_letters(mqtt.deletions, regclass, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.is_queued_before(uuid, timestamptz)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.delete_queued(uuid, integer)', true, 'v', '{}');
ROLLBACK;
