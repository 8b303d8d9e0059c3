-- Revert topicbase:api/cancel_mqtt_publish from pg
BEGIN;
DROP FUNCTION api.cancel_mqtt_publish(uuid []);
DROP FUNCTION mqtt.lock_outbound();
COMMIT;
