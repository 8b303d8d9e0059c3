-- Verify topicbase:tenants/former_slugs on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.former_slugs', '{}', '{}');
SELECT mqtt.verify_function('mqtt.keep_former_slug()', false, 'v', '{}');
ROLLBACK;
