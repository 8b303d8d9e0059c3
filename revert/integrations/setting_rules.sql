-- Revert topicbase:integrations/setting_rules from pg
BEGIN;
DROP FUNCTION mqtt.setting_fault(text, jsonb);
DROP FUNCTION mqtt.jsonb_text_fault(jsonb, integer);
DROP FUNCTION mqtt.jsonb_integer_between(jsonb, bigint, bigint);
DROP FUNCTION mqtt.secret_setting_names();
DROP FUNCTION mqtt.setting_names(text);
COMMIT;
