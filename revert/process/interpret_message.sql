-- Revert topicbase:process/interpret_message from pg
BEGIN;
DROP FUNCTION mqtt.interpreted_item(mqtt.payload_rules, text [], jsonb, jsonb, text, integer);
DROP FUNCTION mqtt.most_metrics(integer);
DROP FUNCTION mqtt.template_text(mqtt.payload_rules, text [], jsonb, jsonb, text);
DROP FUNCTION mqtt.flat_metrics(mqtt.payload_rules, jsonb);
DROP FUNCTION mqtt.rule_samples(mqtt.payload_rules, jsonb);
DROP FUNCTION mqtt.metadata_of(jsonb);
DROP FUNCTION mqtt.rule_metrics_of(mqtt.payload_rules, text [], jsonb, jsonb, text, integer);
COMMIT;
