-- Revert topicbase:integration_activity_log from pg
BEGIN;
-- Loses the activity log.
DROP FUNCTION mqtt.log_activity(uuid, uuid, text, text, jsonb, text);
DROP TABLE mqtt.integration_activity_log;
COMMIT;
