-- Verify topicbase:integrations/payload_rules on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.check_payload_rule()', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.condition_reason(text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.decode_reason(text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.rule_metrics(jsonb)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.metrics_reason(jsonb)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.time_reason(jsonb)', false, 's', '{authenticated,service_role}');
SELECT 1 / count(*) FROM pg_catalog.pg_trigger WHERE tgrelid = 'mqtt.payload_rules'::regclass AND tgname = 'a_check';
ROLLBACK;
