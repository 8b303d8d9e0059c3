-- Revert topicbase:process/queue_view from pg
BEGIN;
DROP VIEW mqtt.mqtt_message_queue;
DROP FUNCTION mqtt.failure_of(uuid, uuid, timestamptz);
DROP FUNCTION mqtt.queued_messages();
COMMIT;
