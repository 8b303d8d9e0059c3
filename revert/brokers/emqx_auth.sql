-- Revert topicbase:brokers/emqx_auth from pg
BEGIN;
DROP FUNCTION api.emqx_authorize(text, text, text, text, text, text);
DROP FUNCTION api.emqx_authenticate(text, text, text);
COMMIT;
