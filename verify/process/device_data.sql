-- Verify topicbase:process/device_data on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.latest_data(jsonb, timestamptz, jsonb, timestamptz)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.device_of_topic(text, text, smallint)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.plausible_time(timestamptz, timestamptz, interval, interval)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.known_device(uuid, uuid, text)', false, 's', '{}');
ROLLBACK;
