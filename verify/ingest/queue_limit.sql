-- Verify topicbase:ingest/queue_limit on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.is_queue_full(uuid, bigint)', false, 's', '{}');
ROLLBACK;
