-- Revert topicbase:api/api_keys from pg
BEGIN;
DROP FUNCTION api.revoke_api_key(uuid);
DROP FUNCTION api.list_api_keys(uuid);
DROP FUNCTION api.create_api_key(uuid, text, text, uuid [], timestamptz);
DROP FUNCTION mqtt.check_api_key(uuid, text, text, uuid [], timestamptz);
COMMIT;
