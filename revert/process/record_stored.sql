-- Revert topicbase:process/record_stored from pg
BEGIN;
DROP FUNCTION mqtt.work_ms();
DROP FUNCTION mqtt.record_stored(mqtt.stored_batch, boolean);
DROP FUNCTION mqtt.spend_batch(mqtt.stored_batch, numeric);
DROP FUNCTION mqtt.message_weight(jsonb, bytea);
DROP FUNCTION mqtt.message_overhead();
COMMIT;
