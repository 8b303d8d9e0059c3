-- Verify topicbase:process/record_stored on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.record_stored(mqtt.stored_batch, boolean)', true, 'v', '{}');
ROLLBACK;
