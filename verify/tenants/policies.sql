-- Verify topicbase:tenants/policies on pg
BEGIN;
SELECT 1 / count(*) FROM pg_policy WHERE polrelid = 'mqtt.organizations'::regclass;
SELECT 1 / count(*) FROM pg_policy WHERE polrelid = 'mqtt.organization_members'::regclass;
ROLLBACK;
