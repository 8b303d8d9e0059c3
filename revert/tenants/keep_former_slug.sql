-- Revert topicbase:tenants/keep_former_slug from pg
BEGIN;
DROP TRIGGER keep_former_slug ON mqtt.organizations;
DROP FUNCTION mqtt.keep_former_slug();
COMMIT;
