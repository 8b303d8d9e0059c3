-- Revert topicbase:api/delete_device from pg
BEGIN;
DROP FUNCTION api.delete_device(text, boolean, uuid, uuid);
DROP FUNCTION mqtt.delete_device(mqtt.devices, boolean);
COMMIT;
