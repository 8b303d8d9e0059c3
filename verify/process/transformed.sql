-- Verify topicbase:process/transformed on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.decoded_for(text, jsonb, jsonb, bytea, timestamptz)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.document_reason(text, mqtt.decoded_payload)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.transform_results(text [], text [])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.transforms_due(mqtt.rule_message [])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.transforms_made(mqtt.rule_message [])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.transformed(mqtt.rule_message [])', false, 's', '{}');
ROLLBACK;
