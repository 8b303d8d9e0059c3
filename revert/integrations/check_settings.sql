-- Revert topicbase:integrations/check_settings from pg
BEGIN;
DROP FUNCTION mqtt.checked_settings(jsonb, text, text, jsonb, boolean);
DROP FUNCTION mqtt.check_hosted_settings(jsonb, text);
DROP FUNCTION mqtt.settings_with_secrets(jsonb, jsonb, jsonb);
DROP FUNCTION mqtt.complete_broker_settings(jsonb, boolean);
DROP FUNCTION mqtt.broker_url_parts(text, boolean);
DROP FUNCTION mqtt.refuse_setting(text, text, text);
COMMIT;
