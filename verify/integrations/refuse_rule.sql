-- Verify topicbase:integrations/refuse_rule on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.refuse_rule(text, text)', false, 'v', '{authenticated,service_role}');
ROLLBACK;
