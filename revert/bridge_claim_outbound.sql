-- Revert topicbase:bridge_claim_outbound from pg
BEGIN;
DROP INDEX pgmq.q_mqtt_outbound_suspects_idx;
DROP FUNCTION bridge.claim_outbound(uuid, uuid [], integer [], bigint []);
COMMIT;
