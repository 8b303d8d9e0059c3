-- Verify topicbase:process/rule_values on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.member_document(text, jsonb, jsonb, timestamptz)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.bytes_as(text, bytea, jsonb, boolean, timestamptz)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.presence_state(jsonb)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.typed_value(jsonb, text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.rule_time(jsonb, text, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.flat_members(jsonb)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.rule_document(text, jsonb, bytea, jsonb, timestamptz)', false, 's', '{}');
ROLLBACK;
