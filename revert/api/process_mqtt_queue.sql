-- Revert topicbase:api/process_mqtt_queue from pg
BEGIN;
DROP FUNCTION api.process_mqtt_queue_message(uuid);
DROP FUNCTION api.process_mqtt_queue(integer);
COMMIT;
