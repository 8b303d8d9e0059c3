-- Revert topicbase:wakeup from pg
BEGIN;
DROP FUNCTION mqtt.wake_bridge(text);
COMMIT;
