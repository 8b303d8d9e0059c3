-- Verify topicbase:publish/message_rules on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.payload_reason(jsonb, jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.publish_reason(jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.outbound_body(jsonb, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.outbound_bytes(jsonb, bytea)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.outbound_document(jsonb)', false, 's', '{}');
ROLLBACK;
