-- Revert topicbase:device_integrations from pg
BEGIN;
DROP TABLE mqtt.device_integrations;
COMMIT;
