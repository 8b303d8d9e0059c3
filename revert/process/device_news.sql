-- Revert topicbase:process/device_news from pg
BEGIN;
DROP FUNCTION mqtt.news_of_devices(mqtt.arrived_sample []);
DROP FUNCTION mqtt.told_values(jsonb, timestamptz, jsonb);
DROP FUNCTION mqtt.samples_of_devices(mqtt.arrived_sample []);
COMMIT;
