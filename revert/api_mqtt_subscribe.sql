-- Revert topicbase:api_mqtt_subscribe from pg
BEGIN;
DROP FUNCTION api.mqtt_unsubscribe(uuid);
DROP FUNCTION mqtt.require_subscription(uuid);
DROP FUNCTION api.mqtt_subscribe(uuid, text, integer, text, uuid, boolean, integer, boolean, boolean, jsonb);
DROP TRIGGER z_log ON mqtt.mqtt_subscriptions;
DROP FUNCTION mqtt.log_subscription();
COMMIT;
