-- Revert topicbase:process/record_stored from pg
BEGIN;
DROP FUNCTION mqtt.record_stored(mqtt.stored_batch, boolean);
COMMIT;
