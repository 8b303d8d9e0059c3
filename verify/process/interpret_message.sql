-- Verify topicbase:process/interpret_message on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.rule_metrics_of(mqtt.payload_rules, text [], jsonb, jsonb, text, integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.metadata_of(jsonb)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.rule_samples(mqtt.payload_rules, jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.flat_metrics(mqtt.payload_rules, jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.template_text(mqtt.payload_rules, text [], jsonb, jsonb, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.most_metrics(integer)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.interpreted_item(mqtt.payload_rules, text [], jsonb, jsonb, text, integer)', false, 's', '{}');
ROLLBACK;
