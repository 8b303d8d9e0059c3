-- Verify topicbase:bridge/callback_body on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.callback_body(mqtt.mqtt_callback_deliveries, mqtt.mqtt_subscriptions)', true, 's', '{}');
ROLLBACK;
