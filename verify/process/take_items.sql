-- Verify topicbase:process/take_items on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.take_items(tid[], timestamptz, timestamptz)', false, 'v', '{}');
ROLLBACK;
