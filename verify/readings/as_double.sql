-- Verify topicbase:readings/as_double on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.as_double(numeric)', false, 'i', '{}');
ROLLBACK;
