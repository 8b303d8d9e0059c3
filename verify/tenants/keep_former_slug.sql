-- Verify topicbase:tenants/keep_former_slug on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.keep_former_slug()', false, 'v', '{}');
ROLLBACK;
