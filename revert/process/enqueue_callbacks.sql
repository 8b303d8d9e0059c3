-- Revert topicbase:process/enqueue_callbacks from pg
BEGIN;
DROP FUNCTION mqtt.enqueue_callbacks(tid []);
DROP FUNCTION mqtt.queued_topics(tid []);
COMMIT;
