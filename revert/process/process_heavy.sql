-- Revert topicbase:process/process_heavy from pg
BEGIN;
DROP FUNCTION mqtt.process_heavy(uuid);
COMMIT;
