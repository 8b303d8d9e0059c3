-- Verify topicbase:api/organization_members on pg
BEGIN;
SELECT mqtt.verify_function('api.add_organization_member(uuid, uuid, text)', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.remove_organization_member(uuid, uuid)', true, 'v', '{authenticated,service_role}');
ROLLBACK;
