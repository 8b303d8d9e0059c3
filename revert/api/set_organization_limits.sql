-- Revert topicbase:api/set_organization_limits from pg
BEGIN;
DROP FUNCTION api.set_organization_limits(uuid, numeric, integer, bigint, integer, integer, integer, integer, integer, integer, integer, bigint, numeric, integer, integer, integer, integer);
COMMIT;
