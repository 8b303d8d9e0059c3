-- Revert topicbase:bridge/settle_outbound from pg
BEGIN;
DROP FUNCTION bridge.expire_outbound(integer);
DROP FUNCTION bridge.settle_outbound(uuid, bigint [], text [], smallint [], text [], bigint []);
COMMIT;
