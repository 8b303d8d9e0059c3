-- Revert topicbase:bridge/callback_bodies from pg
BEGIN;
DROP FUNCTION mqtt.callback_bodies(mqtt.mqtt_callback_deliveries []);
COMMIT;
