-- Verify topicbase:process/write_devices on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.defer_device_news(mqtt.device_news[])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.register_devices(mqtt.device_news[])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.update_devices(mqtt.device_news[])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.write_devices(mqtt.device_news[], boolean)', false, 'v', '{}');
ROLLBACK;
