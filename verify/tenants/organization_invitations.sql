-- Verify topicbase:tenants/organization_invitations on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.organization_invitations', '{}', '{}');
ROLLBACK;
