-- Revert topicbase:publish/permission from pg
BEGIN;
DROP FUNCTION mqtt.refuse_outbound(text);
DROP FUNCTION mqtt.outbound_fault(uuid, text, integer);
COMMIT;
