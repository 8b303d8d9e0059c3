-- Revert topicbase:process/queue_callbacks from pg
BEGIN;
DROP FUNCTION mqtt.queue_callbacks(tid []);
COMMIT;
