-- Revert topicbase:tables/device_integrations from pg
BEGIN;
DROP TABLE mqtt.device_integrations;
COMMIT;
