-- Revert topicbase:maintenance/check_ledger from pg
BEGIN;
DROP FUNCTION mqtt.count_lacking(date, text);
DROP FUNCTION mqtt.check_stored(timestamptz, timestamptz);
DROP FUNCTION mqtt.check_ledger(boolean);
COMMIT;
