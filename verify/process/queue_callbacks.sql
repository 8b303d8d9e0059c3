-- Verify topicbase:process/queue_callbacks on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.queue_callbacks(tid[])', true, 'v', '{}');
ROLLBACK;
