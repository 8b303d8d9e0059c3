-- Revert topicbase:base/locks from pg
BEGIN;
DROP FUNCTION mqtt.bridge_lock(uuid);
DROP FUNCTION mqtt.topics_lock();
DROP FUNCTION mqtt.client_id_lock();
DROP FUNCTION mqtt.deferred_updates_lock();
DROP FUNCTION mqtt.capacity_lock();
DROP FUNCTION mqtt.outbound_lock();
DROP FUNCTION mqtt.maintenance_lock();
DROP FUNCTION mqtt.processing_lock();
DROP FUNCTION mqtt.wakeup_lock();
DROP FUNCTION mqtt.rules_lock();
DROP FUNCTION mqtt.call_lock();
DROP FUNCTION mqtt.wait_lock();
DROP FUNCTION mqtt.settlement_lock();
COMMIT;
