-- Revert topicbase:api/devices from pg
BEGIN;
DROP FUNCTION api.sync_device(uuid, text, text, jsonb, uuid);
DROP FUNCTION api.get_device(text, uuid, uuid);
DROP FUNCTION api.list_devices(integer, text, uuid, uuid);
DROP FUNCTION mqtt.find_device(text, uuid, uuid);
COMMIT;
