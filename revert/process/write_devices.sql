-- Revert topicbase:process/write_devices from pg
BEGIN;
DROP FUNCTION mqtt.write_devices(mqtt.device_news [], boolean);
DROP FUNCTION mqtt.update_devices(mqtt.device_news []);
DROP FUNCTION mqtt.register_devices(mqtt.device_news []);
DROP FUNCTION mqtt.defer_device_news(mqtt.device_news []);
COMMIT;
