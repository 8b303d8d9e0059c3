-- Verify topicbase:base/decode_payload on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.media_type(text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.payload_form(text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.untyped_payload(bytea, text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.decode_payload(text, bytea)', false, 's', '{}');
ROLLBACK;
