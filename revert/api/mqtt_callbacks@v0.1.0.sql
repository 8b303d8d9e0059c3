-- Revert topicbase:api/mqtt_callbacks from pg
BEGIN;
DROP FUNCTION api.replay_mqtt_callback_deliveries(uuid, uuid []);
DROP FUNCTION api.rotate_mqtt_callback_secret(uuid, integer, jsonb, interval);
DROP FUNCTION mqtt.require_callback(uuid);
DROP VIEW api.mqtt_callback_deliveries;
COMMIT;
