-- Revert topicbase:tenants/former_slugs from pg
BEGIN;
DROP TRIGGER keep_former_slug ON mqtt.organizations;
DROP FUNCTION mqtt.keep_former_slug();
DROP TABLE mqtt.former_slugs;
COMMIT;
