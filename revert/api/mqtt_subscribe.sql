-- Revert topicbase:api/mqtt_subscribe from pg
BEGIN;
DROP FUNCTION api.mqtt_unsubscribe(uuid);
DROP FUNCTION mqtt.require_subscription(uuid);
DROP FUNCTION api.mqtt_subscribe(uuid, text, integer, text, uuid, boolean, integer, boolean, boolean, jsonb);
COMMIT;
