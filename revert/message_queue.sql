-- Revert topicbase:message_queue from pg
BEGIN;
DROP VIEW api.mqtt_message_queue;
DROP FUNCTION mqtt.refuse_write();
DROP VIEW mqtt.mqtt_message_queue;
DROP FUNCTION mqtt.queued_messages();
COMMIT;
