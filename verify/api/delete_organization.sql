-- Verify topicbase:api/delete_organization on pg
BEGIN;
SELECT mqtt.verify_function('api.delete_organization(uuid, text)', true, 'v', '{authenticated,service_role}');
ROLLBACK;
