-- Revert topicbase:base/wake_bridge from pg
BEGIN;
DROP FUNCTION mqtt.wake_bridge(text);
COMMIT;
