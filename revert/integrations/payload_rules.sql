-- Revert topicbase:integrations/payload_rules from pg
BEGIN;
DROP TRIGGER a_check ON mqtt.payload_rules;
DROP FUNCTION mqtt.check_payload_rule();
DROP FUNCTION mqtt.time_reason(jsonb);
DROP FUNCTION mqtt.metrics_reason(jsonb);
DROP FUNCTION mqtt.rule_metrics(jsonb);
DROP FUNCTION mqtt.condition_reason(text);
DROP FUNCTION mqtt.decode_reason(text);
COMMIT;
