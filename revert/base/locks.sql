-- Revert topicbase:base/locks from pg
BEGIN;
DROP FUNCTION mqtt.bridge_lock(uuid);
COMMIT;
