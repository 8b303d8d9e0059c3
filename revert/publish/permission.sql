-- Revert topicbase:publish/permission from pg
BEGIN;
DROP FUNCTION mqtt.refuse_outbound(text, text);
DROP FUNCTION mqtt.outbound_fault(boolean, text, integer, text, integer);
DROP FUNCTION mqtt.outbound_limits(uuid);
COMMIT;
