-- Revert topicbase:process/process_batch from pg
BEGIN;
DROP FUNCTION mqtt.process_batch(integer, boolean, uuid [], uuid []);
DROP FUNCTION mqtt.leave_heavy(tid [], uuid []);
COMMIT;
