-- Revert topicbase:maintenance/roll_up_ledger from pg
BEGIN;
DROP FUNCTION mqtt.roll_up_ledger(interval);
COMMIT;
