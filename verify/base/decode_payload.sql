-- Verify topicbase:base/decode_payload on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.decode_payload(text, bytea)', false, 's', '{}');
ROLLBACK;
