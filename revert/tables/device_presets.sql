-- Revert topicbase:tables/device_presets from pg
BEGIN;
DROP TABLE mqtt.device_presets;
COMMIT;
