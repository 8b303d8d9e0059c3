-- Revert topicbase:process/rule_values from pg
BEGIN;
DROP FUNCTION mqtt.member_document(text, jsonb, jsonb, timestamptz);
DROP FUNCTION mqtt.bytes_as(text, bytea, jsonb, boolean, timestamptz);
DROP FUNCTION mqtt.presence_state(jsonb);
DROP FUNCTION mqtt.typed_value(jsonb, text);
DROP FUNCTION mqtt.rule_time(jsonb, text, text);
DROP FUNCTION mqtt.flat_members(jsonb);
DROP FUNCTION mqtt.rule_document(text, jsonb, bytea, jsonb, timestamptz);
COMMIT;
