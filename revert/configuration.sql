-- Revert topicbase:configuration from pg
BEGIN;
DROP TABLE mqtt.configuration;
COMMIT;
