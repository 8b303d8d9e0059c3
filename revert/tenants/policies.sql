-- Revert topicbase:tenants/policies from pg
BEGIN;
DROP POLICY members_read ON mqtt.organization_members;
DROP POLICY members_read ON mqtt.organizations;
COMMIT;
