-- Revert topicbase:integrations/request_tokens from pg
BEGIN;
DROP FUNCTION mqtt.check_token();
DROP FUNCTION mqtt.check_claims(boolean);
REVOKE USAGE ON SCHEMA mqtt FROM anon;
COMMIT;
