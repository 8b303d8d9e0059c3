-- Verify topicbase:ingest/message_properties on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.user_properties_reason(jsonb)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.is_utf8(bytea)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.try_jsonb(text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.sent_properties(text, text, text, json, json)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.properties_fault(jsonb, bytea)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.message_properties(jsonb)', false, 's', '{}');
ROLLBACK;
