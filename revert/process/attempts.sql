-- Revert topicbase:process/attempts from pg
BEGIN;
DROP FUNCTION mqtt.finish_attempt(bigint);
DROP FUNCTION mqtt.undo_attempt(bigint);
DROP FUNCTION mqtt.begin_attempt(timestamptz, bigint []);
COMMIT;
