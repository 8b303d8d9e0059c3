-- Verify topicbase:tables/end_callbacks on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.end_callbacks()', true, 'v', '{}');
ROLLBACK;
