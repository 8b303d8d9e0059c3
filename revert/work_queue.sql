-- Revert topicbase:work_queue from pg
BEGIN;
DROP PROCEDURE mqtt.work_queue(integer);
COMMIT;
