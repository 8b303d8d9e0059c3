-- Verify topicbase:api/create_organization on pg
BEGIN;
SELECT mqtt.verify_function('api.create_organization(text, text, uuid)', true, 'v', '{authenticated,service_role}');
ROLLBACK;
