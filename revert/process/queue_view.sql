-- Revert topicbase:process/queue_view from pg
BEGIN;
DROP VIEW mqtt.mqtt_message_queue;
DROP FUNCTION mqtt.queued_messages();
COMMIT;
