-- Revert topicbase:process/interpret_message from pg
BEGIN;
DROP FUNCTION mqtt.rule_samples(mqtt.payload_rules, jsonb);
DROP FUNCTION mqtt.interpreted_sample(mqtt.payload_rules, text [], jsonb, jsonb, text, integer);
DROP FUNCTION mqtt.metadata_of(jsonb);
DROP FUNCTION mqtt.rule_metrics_of(mqtt.payload_rules, text [], jsonb, jsonb, text);
COMMIT;
