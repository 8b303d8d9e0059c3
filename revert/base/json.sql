-- Revert topicbase:base/json from pg
BEGIN;
DROP FUNCTION mqtt.json_reason(json);
DROP FUNCTION mqtt.quick_jsonb(text);
DROP FUNCTION mqtt.checked_jsonb(text);
DROP FUNCTION mqtt.has_extreme_number(jsonb);
COMMIT;
