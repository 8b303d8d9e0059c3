-- Revert topicbase:tenants/policies from pg
BEGIN;
DROP POLICY service_reads ON mqtt.organization_members;
DROP POLICY service_reads ON mqtt.organizations;
DROP POLICY members_read ON mqtt.organization_members;
DROP POLICY members_read ON mqtt.organizations;
COMMIT;
