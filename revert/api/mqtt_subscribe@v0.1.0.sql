-- Revert topicbase:api/mqtt_subscribe from pg
BEGIN;
DROP FUNCTION api.mqtt_unsubscribe(uuid);
DROP FUNCTION mqtt.require_subscription(uuid);
DROP FUNCTION api.mqtt_subscribe(uuid, text, integer, text, uuid, boolean, integer, boolean, boolean, jsonb);
DROP FUNCTION mqtt.require_subscription_room(mqtt.device_integrations, text);
DROP FUNCTION mqtt.check_subscription(mqtt.device_integrations, text, integer, integer, text);
COMMIT;
