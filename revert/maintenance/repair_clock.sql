-- Revert topicbase:maintenance/repair_clock from pg
BEGIN;
DROP FUNCTION mqtt.repair_clock();
COMMIT;
