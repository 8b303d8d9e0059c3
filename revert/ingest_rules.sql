-- Revert topicbase:ingest_rules from pg
BEGIN;
DROP FUNCTION mqtt.try_base64(text);
DROP FUNCTION mqtt.try_timestamptz(text);
DROP FUNCTION mqtt.refuse_message(text, text, text, integer);
DROP FUNCTION mqtt.fault_text(text, text);
DROP FUNCTION mqtt.ingest_fault(text, integer, integer, text, text [], integer);
DROP FUNCTION mqtt.topic_matches_any(text [], text);
COMMIT;
