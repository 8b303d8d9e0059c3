-- Revert topicbase:bridge/after_restore from pg
BEGIN;
DROP FUNCTION mqtt.set_aside_outbound(integer);
COMMIT;
