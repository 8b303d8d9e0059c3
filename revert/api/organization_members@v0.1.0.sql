-- Revert topicbase:api/organization_members from pg
BEGIN;
DROP FUNCTION api.remove_organization_member(uuid, uuid);
DROP FUNCTION api.add_organization_member(uuid, uuid, text);
COMMIT;
