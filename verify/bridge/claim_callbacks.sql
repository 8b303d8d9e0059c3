-- Verify topicbase:bridge/claim_callbacks on pg
BEGIN;
SELECT mqtt.verify_function('bridge.claim_callbacks(uuid, integer, uuid[], integer[])', true, 'v', '{mqtt_bridge}');
ROLLBACK;
