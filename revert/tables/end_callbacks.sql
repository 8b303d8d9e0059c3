-- Revert topicbase:tables/end_callbacks from pg
BEGIN;
DROP TRIGGER end_callbacks_update ON mqtt.mqtt_subscriptions;
DROP TRIGGER end_callbacks ON mqtt.mqtt_subscriptions;
DROP FUNCTION mqtt.end_callbacks();
COMMIT;
