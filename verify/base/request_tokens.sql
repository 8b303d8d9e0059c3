-- Verify topicbase:base/request_tokens on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.check_token()', false, 's', '{anon,authenticated,service_role}');
ROLLBACK;
