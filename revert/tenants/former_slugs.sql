-- Revert topicbase:tenants/former_slugs from pg
BEGIN;
DROP TABLE mqtt.former_slugs;
COMMIT;
