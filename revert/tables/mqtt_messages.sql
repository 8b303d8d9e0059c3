-- Revert topicbase:tables/mqtt_messages from pg
BEGIN;
DROP VIEW mqtt.mqtt_messages;
DROP FUNCTION mqtt.write_message();
COMMIT;
