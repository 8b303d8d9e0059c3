-- Revert topicbase:ingest/message_rules from pg
BEGIN;
DROP FUNCTION mqtt.refuse_message(text, text, text, integer);
DROP FUNCTION mqtt.fault_reason(text, text);
DROP FUNCTION mqtt.option_fault(text, text, text, text);
DROP FUNCTION mqtt.ingest_fault(text, integer, integer, text, text [], integer);
COMMIT;
