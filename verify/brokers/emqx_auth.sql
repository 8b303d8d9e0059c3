-- Verify topicbase:brokers/emqx_auth on pg
BEGIN;
SELECT mqtt.verify_function('api.emqx_authenticate(text, text, text)', true, 'v', '{anon,authenticated,service_role}');
SELECT mqtt.verify_function('api.emqx_authorize(text, text, text, text, text, text)', true, 's', '{anon,authenticated,service_role}');
ROLLBACK;
