-- Verify topicbase:process/device_news on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.news_of_devices(mqtt.arrived_sample[])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.told_values(jsonb, timestamptz, jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.samples_of_devices(mqtt.arrived_sample [])', false, 's', '{}');
ROLLBACK;
