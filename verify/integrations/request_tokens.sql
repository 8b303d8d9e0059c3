-- Verify topicbase:integrations/request_tokens on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.check_claims(boolean)', false, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.check_token()', false, 'v', '{anon,authenticated,service_role}');
ROLLBACK;
