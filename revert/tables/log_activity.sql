-- Revert topicbase:tables/log_activity from pg
BEGIN;
-- Loses the activity log.
DROP FUNCTION mqtt.log_activity(uuid, uuid, text, text, jsonb, text);
COMMIT;
