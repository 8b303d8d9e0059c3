-- Verify topicbase:process/record_refused on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.record_refused(jsonb)', true, 'v', '{}');
ROLLBACK;
