-- Revert topicbase:process/process_batch from pg
BEGIN;
DROP FUNCTION mqtt.process_batch(integer, boolean, uuid [], uuid []);
DROP FUNCTION mqtt.leave_heavy(tid [], uuid []);
DROP FUNCTION mqtt.store_in_turns(tid []);
DROP FUNCTION mqtt.store_part(tid [], double precision, timestamptz);
DROP FUNCTION mqtt.batch_parts(tid []);
DROP FUNCTION mqtt.store_or_split(tid []);
COMMIT;
