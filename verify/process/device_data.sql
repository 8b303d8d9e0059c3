-- Verify topicbase:process/device_data on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.latest_data(jsonb, timestamptz, jsonb, timestamptz)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.has_data(uuid, uuid, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.known_values(uuid, uuid, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.is_news(uuid, uuid, text, text, boolean)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.device_name(text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.plausible_time(timestamptz, timestamptz, interval, interval)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.known_device(uuid, uuid, text)', false, 's', '{}');
ROLLBACK;
