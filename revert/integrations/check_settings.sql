-- Revert topicbase:integrations/check_settings from pg
BEGIN;
DROP FUNCTION mqtt.checked_settings(jsonb, text, text, jsonb, boolean);
DROP FUNCTION mqtt.complete_broker_settings(jsonb, boolean);
DROP FUNCTION mqtt.refuse_setting(text, text, text);
COMMIT;
