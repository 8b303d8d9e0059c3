-- Revert topicbase:process/record_stored from pg
BEGIN;
DROP FUNCTION mqtt.record_stored(uuid [], uuid [], uuid [], timestamptz [], bigint [], timestamptz [], boolean);
COMMIT;
