-- Revert topicbase:integrations/callback_secrets from pg
BEGIN;
DROP FUNCTION mqtt.set_callback_secret(uuid, uuid, jsonb, interval, boolean);
COMMIT;
