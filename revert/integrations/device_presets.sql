-- Revert topicbase:integrations/device_presets from pg
BEGIN;
DELETE FROM mqtt.device_presets;
COMMIT;
