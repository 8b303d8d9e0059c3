-- Revert topicbase:bridge/callback_circuits from pg
BEGIN;
DROP FUNCTION mqtt.note_receivers(mqtt.callback_outcome []);
DROP FUNCTION mqtt.circuit_opens(bigint, timestamptz);
COMMIT;
