-- Revert topicbase:integrations/api_keys from pg
BEGIN;
DROP FUNCTION mqtt.use_api_key(text, text);
DROP FUNCTION mqtt.note_api_key(jsonb);
DROP FUNCTION mqtt.call_scope(text);
DROP FUNCTION mqtt.api_key_claims(text);
COMMIT;
