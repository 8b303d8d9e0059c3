-- Revert topicbase:process/work_queue from pg
BEGIN;
DROP PROCEDURE mqtt.work_queue(integer);
COMMIT;
