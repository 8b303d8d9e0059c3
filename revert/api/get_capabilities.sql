-- Revert topicbase:api/get_capabilities from pg
BEGIN;
DROP FUNCTION api.get_capabilities(uuid);
COMMIT;
