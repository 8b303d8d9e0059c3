-- Revert topicbase:base/vacuum_holders from pg
BEGIN;
DROP FUNCTION mqtt.vacuum_holders(interval);
COMMIT;
