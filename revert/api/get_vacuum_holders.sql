-- Revert topicbase:api/get_vacuum_holders from pg
BEGIN;
DROP FUNCTION api.get_vacuum_holders(interval);
COMMIT;
