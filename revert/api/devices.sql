-- Revert topicbase:api/devices from pg
BEGIN;
DROP FUNCTION api.sync_device(uuid, text, text, jsonb, uuid);
DROP FUNCTION api.get_device(text, uuid, uuid, text);
DROP FUNCTION api.list_devices(integer, text, uuid, uuid);
COMMIT;
