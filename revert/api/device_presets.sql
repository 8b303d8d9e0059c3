-- Revert topicbase:api/device_presets from pg
BEGIN;
DROP FUNCTION api.apply_device_preset(uuid, text, text);
DROP FUNCTION mqtt.moved_template(text, integer);
DROP FUNCTION api.list_device_presets();
COMMIT;
