-- Revert topicbase:tables/mqtt_messages from pg
BEGIN;
-- Loses the history.
DROP TABLE mqtt.mqtt_messages;
DROP TYPE mqtt.message_direction;
COMMIT;
