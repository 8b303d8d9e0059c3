-- Revert topicbase:api/get_caller from pg
BEGIN;
DROP FUNCTION api.get_caller();
COMMIT;
