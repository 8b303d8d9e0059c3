-- Verify topicbase:process/decoded_message on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.decoded_message(jsonb, bytea, timestamptz, text, text, smallint, smallint, smallint, interval, interval)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.user_property(jsonb, text)', false, 'i', '{}');
ROLLBACK;
