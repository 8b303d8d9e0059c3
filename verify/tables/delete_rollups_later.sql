-- Verify topicbase:tables/delete_rollups_later on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.delete_rollups_later()', true, 'v', '{}');
ROLLBACK;
