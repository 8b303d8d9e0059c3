-- Revert topicbase:base/parse_values from pg
BEGIN;
DROP FUNCTION mqtt.is_uuid(text);
DROP FUNCTION mqtt.try_base64(text);
DROP FUNCTION mqtt.try_timestamptz(text);
COMMIT;
