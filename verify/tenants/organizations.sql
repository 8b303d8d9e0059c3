-- Verify topicbase:tenants/organizations on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.organizations', '{SELECT}', '{SELECT}');
ROLLBACK;
