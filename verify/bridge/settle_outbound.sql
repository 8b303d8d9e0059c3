-- Verify topicbase:bridge/settle_outbound on pg
BEGIN;
SELECT mqtt.verify_function('bridge.settle_outbound(uuid, bigint [], text [], smallint [], text [], bigint [])', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.expire_outbound(integer)', true, 'v', '{mqtt_bridge}');
ROLLBACK;
