-- Verify topicbase:tenants/former_slugs on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.former_slugs', '{}', '{}');
ROLLBACK;
