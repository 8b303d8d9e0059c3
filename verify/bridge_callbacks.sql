-- Verify topicbase:bridge_callbacks on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.callback_body(mqtt.mqtt_callback_deliveries, mqtt.mqtt_subscriptions)', true, 's', '{}');
SELECT mqtt.verify_function('bridge.claim_callbacks(uuid, integer, uuid[], integer[])', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function(
    'bridge.settle_callbacks(uuid, uuid[], uuid[], smallint[], smallint[], text[], text[], integer[], boolean[])', true, 'v', '{mqtt_bridge}'
);
ROLLBACK;
