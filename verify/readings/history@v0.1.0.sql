-- Verify topicbase:readings/history on pg
BEGIN;
SELECT mqtt.verify_function('readings.metrics(text [], text [], timestamptz, timestamptz)', true, 's', '{}');
SELECT mqtt.verify_function('readings.messages(text [], timestamptz, timestamptz)', true, 's', '{}');
ROLLBACK;
