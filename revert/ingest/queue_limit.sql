-- Revert topicbase:ingest/queue_limit from pg
BEGIN;
DROP FUNCTION mqtt.is_queue_full(uuid, bigint);
COMMIT;
