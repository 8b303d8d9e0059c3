-- Verify topicbase:bridge_claim_outbound on pg
BEGIN;
SELECT mqtt.verify_function('bridge.claim_outbound(uuid, uuid [], integer [], bigint [])', true, 'v', '{mqtt_bridge}');
SELECT 'pgmq.q_mqtt_outbound_suspects_idx'::regclass;
ROLLBACK;
