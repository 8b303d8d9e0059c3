-- Revert topicbase:api/organization_invitations from pg
BEGIN;
DROP FUNCTION api.accept_organization_invitation(uuid);
DROP FUNCTION api.list_organization_invitations(uuid);
COMMIT;
