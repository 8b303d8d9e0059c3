-- Verify topicbase:process/interpret_messages on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.message_items(mqtt.payload_rules, jsonb, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.interpreted_facts(text, jsonb)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.interpret_messages(mqtt.rule_message [])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.failed_interpretation(mqtt.rule_message, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.interpretations(mqtt.rule_message [])', false, 's', '{}');
ROLLBACK;
