-- Revert topicbase:api/create_organization from pg
BEGIN;
DROP FUNCTION api.create_organization(text, text, uuid);
COMMIT;
