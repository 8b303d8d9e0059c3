-- Verify topicbase:tables/device_presets on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.device_presets', '{SELECT}', '{SELECT}');
ROLLBACK;
