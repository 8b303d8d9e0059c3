-- Verify topicbase:readings/series on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.reader_device_ids(text [])', true, 's', '{}');
SELECT mqtt.verify_function('readings.series(text [], text [], timestamptz, timestamptz, interval, text)', true, 's', '{}');
ROLLBACK;
