-- Revert topicbase:base/json from pg
BEGIN;
DROP FUNCTION mqtt.json_reason(json, integer);
DROP FUNCTION mqtt.quick_jsonb(text);
DROP FUNCTION mqtt.checked_jsonb(text, integer);
DROP FUNCTION mqtt.has_many_brackets(text);
DROP FUNCTION mqtt.is_too_deep(jsonb, integer);
DROP FUNCTION mqtt.has_extreme_number(jsonb);
COMMIT;
