-- Verify topicbase:process/enqueue_callbacks on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.enqueue_callbacks(tid[])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.queued_topics(tid[])', false, 's', '{}');
ROLLBACK;
