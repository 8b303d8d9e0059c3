-- Revert topicbase:bridge/claim_outbound from pg
BEGIN;
DROP FUNCTION bridge.claim_outbound(uuid, uuid [], integer [], bigint []);
DROP FUNCTION mqtt.claim_limits(uuid, uuid [], integer [], bigint []);
COMMIT;
