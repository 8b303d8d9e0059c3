-- Revert topicbase:api/openapi from pg
BEGIN;
DROP FUNCTION api.openapi();
DROP FUNCTION api.get_api_version();
COMMIT;
