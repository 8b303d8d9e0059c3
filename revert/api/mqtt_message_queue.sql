-- Revert topicbase:api/mqtt_message_queue from pg
BEGIN;
DROP VIEW api.mqtt_message_queue;
DROP FUNCTION mqtt.refuse_write();
COMMIT;
