-- Verify topicbase:bridge/settle_deliveries on pg
BEGIN;
SELECT mqtt.verify_function(
    'mqtt.settle_deliveries(uuid, uuid[], uuid[], smallint[], smallint[], text[], text[], integer[], boolean[], real[])', true, 'v', '{}'
);
ROLLBACK;
