-- Revert topicbase:tables/integration_activity_log from pg
BEGIN;
DROP TABLE mqtt.integration_activity_log;
COMMIT;
