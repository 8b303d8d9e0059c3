-- Revert topicbase:bridge/claim_callbacks from pg
BEGIN;
DROP FUNCTION bridge.claim_callbacks(uuid, integer, uuid [], integer []);
COMMIT;
