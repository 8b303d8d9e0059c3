-- Verify topicbase:bridge/settle_callbacks on pg
BEGIN;
SELECT mqtt.verify_function(
    'bridge.settle_callbacks(uuid, uuid[], uuid[], smallint[], smallint[], text[], text[], integer[], boolean[], real[])', true, 'v', '{mqtt_bridge}'
);
ROLLBACK;
