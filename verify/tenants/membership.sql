-- Verify topicbase:tenants/membership on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.current_user_id()', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function(f, false, 's', '{authenticated,service_role}')
FROM unnest(ARRAY['mqtt.current_key()', 'mqtt.key_integration_ids()', 'mqtt.key_allows(uuid)']::regprocedure []) AS f;
SELECT mqtt.verify_function('mqtt.is_service()', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.current_organization_ids(boolean)', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.current_organization_numbers()', true, 's', '{authenticated,service_role}');
ROLLBACK;
