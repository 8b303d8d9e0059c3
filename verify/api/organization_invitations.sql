-- Verify topicbase:api/organization_invitations on pg
BEGIN;
SELECT mqtt.verify_function('api.list_organization_invitations(uuid)', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.accept_organization_invitation(uuid)', true, 'v', '{authenticated,service_role}');
ROLLBACK;
