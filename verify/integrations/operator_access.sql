-- Verify topicbase:integrations/operator_access on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.may_operate()', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_operator()', false, 's', '{authenticated,service_role}');
ROLLBACK;
