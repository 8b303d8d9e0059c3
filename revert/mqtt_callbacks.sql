-- Revert topicbase:mqtt_callbacks from pg; callbacks that wait, their log and their secrets are lost
BEGIN;
DROP TRIGGER end_callbacks_update ON mqtt.mqtt_subscriptions;
DROP TRIGGER end_callbacks ON mqtt.mqtt_subscriptions;
DROP FUNCTION mqtt.end_callbacks();
DROP TABLE mqtt.mqtt_callback_deliveries, mqtt.callback_circuits, mqtt.callback_secrets;
COMMIT;
