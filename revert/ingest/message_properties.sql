-- Revert topicbase:ingest/message_properties from pg
BEGIN;
DROP FUNCTION mqtt.message_properties(jsonb);
DROP FUNCTION mqtt.properties_fault(jsonb, bytea);
DROP FUNCTION mqtt.sent_properties(text, text, text, json, json);
DROP FUNCTION mqtt.try_jsonb(text);
DROP FUNCTION mqtt.is_utf8(bytea);
DROP FUNCTION mqtt.user_properties_reason(jsonb);
COMMIT;
