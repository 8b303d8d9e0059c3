-- Verify topicbase:bridge/claim_callbacks on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.callback_hooks(uuid, timestamptz, integer, uuid[], integer[], uuid[])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.due_callbacks(uuid, timestamptz, integer, uuid[], integer[], uuid[])', false, 's', '{}');
SELECT mqtt.verify_function('bridge.claim_callbacks(uuid, integer, uuid[], integer[], uuid[])', true, 'v', '{mqtt_bridge}');
ROLLBACK;
