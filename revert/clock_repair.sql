-- Revert topicbase:clock_repair from pg
BEGIN;
DROP FUNCTION mqtt.repair_clock();
COMMIT;
