-- Verify topicbase:process/device_data on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.latest_data(jsonb, timestamptz, jsonb, timestamptz)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.flat_payload(jsonb)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.payload_metrics(jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.object_or_none(jsonb)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.is_covered(jsonb, text [])', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.newest_metrics(jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.merged_latest(jsonb, jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.newest_values(jsonb, timestamptz, jsonb, timestamptz)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.has_reading(uuid, uuid, text, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.is_news(uuid, uuid, text, text, boolean, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.device_name(text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.plausible_time(timestamptz, timestamptz, interval, interval)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.known_device(uuid, uuid, text)', false, 's', '{}');
ROLLBACK;
