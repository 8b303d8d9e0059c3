-- Verify topicbase:process/interpret_message on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.rule_samples(mqtt.payload_rules, jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.interpreted_sample(mqtt.payload_rules, text [], jsonb, jsonb, text, integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.metadata_of(jsonb)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.rule_metrics_of(mqtt.payload_rules, text [], jsonb, jsonb, text)', false, 's', '{}');
ROLLBACK;
