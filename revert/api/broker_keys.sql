-- Revert topicbase:api/broker_keys from pg
BEGIN;
-- Loses the keys: the brokers need new ones.
DROP FUNCTION api.revoke_broker_key(uuid);
DROP FUNCTION api.get_broker_keys();
DROP FUNCTION api.generate_broker_key(text, uuid, text, text);
COMMIT;
