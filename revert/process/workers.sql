-- Revert topicbase:process/workers from pg
BEGIN;
DROP FUNCTION mqtt.end_work(uuid);
DROP FUNCTION mqtt.begin_work(uuid);
COMMIT;
