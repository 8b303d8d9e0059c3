-- Revert topicbase:integrations/secrets from pg
BEGIN;
DROP FUNCTION mqtt.visible_settings(jsonb);
DROP FUNCTION mqtt.is_resealed(jsonb, jsonb);
DROP FUNCTION mqtt.sealed_setting(text, jsonb);
DROP FUNCTION mqtt.sealed(text, text);
DROP FUNCTION mqtt.sealing_key_id(bytea);
COMMIT;
