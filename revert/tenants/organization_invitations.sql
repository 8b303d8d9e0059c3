-- Revert topicbase:tenants/organization_invitations from pg
BEGIN;
DROP TABLE mqtt.organization_invitations;
COMMIT;
