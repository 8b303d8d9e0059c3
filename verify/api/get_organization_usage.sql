-- Verify topicbase:api/get_organization_usage on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.stored_usage(timestamptz, timestamptz)', false, 's', '{}');
SELECT mqtt.verify_function('api.get_organization_usage(timestamptz, timestamptz)', true, 's', '{authenticated,service_role}');
ROLLBACK;
