-- Revert topicbase:bridge/callback_body from pg
BEGIN;
DROP FUNCTION mqtt.callback_body(mqtt.mqtt_callback_deliveries, mqtt.mqtt_subscriptions);
COMMIT;
