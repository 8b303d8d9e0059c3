-- Verify topicbase:base/decoded_payload on pg
BEGIN;
SELECT 'mqtt.decoded_payload'::regtype;
ROLLBACK;
