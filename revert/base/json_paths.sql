-- Revert topicbase:base/json_paths from pg
BEGIN;
DROP FUNCTION mqtt.path_reason(text);
DROP FUNCTION mqtt.path_bounds_reason(text);
DROP FUNCTION mqtt.is_much_to_compile(text);
COMMIT;
