-- Verify topicbase:base/locks on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.bridge_lock(uuid)', false, 'i', '{}');
SELECT mqtt.verify_function(f, false, 'i', '{}')
FROM unnest(
    ARRAY[
        'mqtt.wakeup_lock()', 'mqtt.processing_lock()', 'mqtt.maintenance_lock()', 'mqtt.outbound_lock()',
        'mqtt.capacity_lock()', 'mqtt.deferred_updates_lock()', 'mqtt.topics_lock()', 'mqtt.client_id_lock()', 'mqtt.rules_lock()', 'mqtt.wait_lock()',
        'mqtt.call_lock()', 'mqtt.settlement_lock()'
    ]::regprocedure []
) AS f;
ROLLBACK;
