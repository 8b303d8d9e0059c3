-- Verify topicbase:bridge/callback_bodies on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.callback_bodies(mqtt.mqtt_callback_deliveries[])', true, 's', '{}');
ROLLBACK;
