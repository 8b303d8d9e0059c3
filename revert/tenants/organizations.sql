-- Revert topicbase:tenants/organizations from pg
BEGIN;
DROP TABLE mqtt.organizations;
COMMIT;
