-- Revert topicbase:base/json from pg
BEGIN;
DROP FUNCTION mqtt.json_reason(json, integer);
DROP FUNCTION mqtt.quick_jsonb(text);
DROP FUNCTION mqtt.checked_jsonb(text, integer);
DROP FUNCTION mqtt.has_many_brackets(text);
DROP FUNCTION mqtt.is_too_deep(jsonb, integer);
DROP FUNCTION mqtt.payload_has_far_exponents(text, integer);
DROP FUNCTION mqtt.far_exponents_reason();
DROP FUNCTION mqtt.has_far_exponents(text);
DROP FUNCTION mqtt.has_far_numbers(jsonb);
DROP FUNCTION mqtt.has_extreme_number(jsonb);
COMMIT;
