-- Verify topicbase:bridge/claim_outbound on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.claim_limits(uuid, uuid[], integer[], bigint[])', false, 's', '{}');
SELECT mqtt.verify_function('bridge.claim_outbound(uuid, uuid [], integer [], bigint [])', true, 'v', '{mqtt_bridge}');
ROLLBACK;
