-- Revert topicbase:tables/mqtt_callbacks from pg; callbacks that wait, their log and their secrets are lost
BEGIN;
DROP TABLE mqtt.mqtt_callback_deliveries;
DROP TABLE mqtt.callback_circuits;
DROP TABLE mqtt.callback_secrets;
COMMIT;
