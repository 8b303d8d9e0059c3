-- Revert topicbase:integrations/setting_rules from pg
BEGIN;
DROP FUNCTION mqtt.setting_reason(text, jsonb);
DROP FUNCTION mqtt.jsonb_text_reason(jsonb, integer);
DROP FUNCTION mqtt.jsonb_integer_between(jsonb, bigint, bigint);
DROP FUNCTION mqtt.secret_setting_names();
DROP FUNCTION mqtt.setting_names(text);
COMMIT;
