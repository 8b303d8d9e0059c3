-- Verify topicbase:process/record_stored on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.record_stored(mqtt.stored_batch, boolean)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.message_weight(jsonb, bytea)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.message_overhead()', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.spend_batch(mqtt.stored_batch, numeric)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.work_ms()', false, 'v', '{}');
ROLLBACK;
