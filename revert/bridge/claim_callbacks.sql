-- Revert topicbase:bridge/claim_callbacks from pg
BEGIN;
DROP FUNCTION bridge.claim_callbacks(uuid, integer, uuid [], integer [], uuid []);
DROP FUNCTION mqtt.due_callbacks(uuid, timestamptz, integer, uuid [], integer [], uuid []);
DROP FUNCTION mqtt.callback_hooks(uuid, timestamptz, integer, uuid [], integer [], uuid []);
COMMIT;
