-- Revert topicbase:vacuum_holders from pg
BEGIN;
DROP FUNCTION api.get_vacuum_holders(interval);
DROP FUNCTION mqtt.vacuum_holders(interval);
COMMIT;
