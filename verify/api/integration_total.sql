-- Verify topicbase:api/integration_total on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.require_integration_total(uuid)', true, 'v', '{authenticated,service_role}');
ROLLBACK;
