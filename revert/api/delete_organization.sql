-- Revert topicbase:api/delete_organization from pg
BEGIN;
DROP FUNCTION api.delete_organization(uuid, text);
COMMIT;
