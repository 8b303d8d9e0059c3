-- Revert topicbase:process/record_refused from pg
BEGIN;
DROP FUNCTION mqtt.record_refused(jsonb);
COMMIT;
