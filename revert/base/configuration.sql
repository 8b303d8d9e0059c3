-- Revert topicbase:base/configuration from pg
BEGIN;
DROP TABLE mqtt.configuration;
COMMIT;
