-- Verify topicbase:api/get_capabilities on pg
BEGIN;
SELECT mqtt.verify_function('api.get_capabilities(uuid)', false, 's', '{authenticated,service_role}');
ROLLBACK;
