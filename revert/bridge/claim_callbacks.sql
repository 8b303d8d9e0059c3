-- Revert topicbase:bridge/claim_callbacks from pg
BEGIN;
DROP FUNCTION bridge.claim_callbacks(uuid, integer, uuid [], integer []);
DROP FUNCTION mqtt.due_callbacks(uuid, timestamptz, uuid [], integer []);
COMMIT;
