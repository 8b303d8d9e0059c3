-- Verify topicbase:integrations/access on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.is_operator()', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_organization(uuid, boolean)', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_integration(uuid, uuid, boolean)', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_admin(uuid)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_whole_organization()', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_part(uuid, uuid)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_single_organization()', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_scope_of_readings(uuid, uuid, boolean)', false, 's', '{authenticated,service_role}');
ROLLBACK;
