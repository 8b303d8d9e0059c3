-- Revert topicbase:tenants/organization_members from pg
BEGIN;
DROP TABLE mqtt.organization_members;
COMMIT;
