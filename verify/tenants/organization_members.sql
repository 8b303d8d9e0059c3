-- Verify topicbase:tenants/organization_members on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.organization_members', '{SELECT}', '{SELECT}');
ROLLBACK;
