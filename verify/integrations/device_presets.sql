-- Verify topicbase:integrations/device_presets on pg
BEGIN;
SELECT 1 / (count(*) >= 9)::integer FROM mqtt.device_presets;
ROLLBACK;
