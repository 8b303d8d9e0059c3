-- Revert topicbase:bridge_callbacks from pg
BEGIN;
DROP FUNCTION bridge.settle_callbacks(uuid, uuid [], uuid [], smallint [], smallint [], text [], text [], integer [], boolean []);
DROP FUNCTION bridge.claim_callbacks(uuid, integer, uuid [], integer []);
DROP FUNCTION mqtt.callback_body(mqtt.mqtt_callback_deliveries, mqtt.mqtt_subscriptions);
COMMIT;
