-- Verify topicbase:process/matched_rules on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.is_document(text, jsonb, bytea)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.payload_for(text, jsonb, jsonb)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.is_fulfilled(jsonpath, text, jsonb, jsonb, bytea)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.matched_rules(mqtt.rule_message [])', false, 's', '{}');
ROLLBACK;
