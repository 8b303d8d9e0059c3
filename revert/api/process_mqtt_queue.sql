-- Revert topicbase:api/process_mqtt_queue from pg
BEGIN;
DROP FUNCTION api.process_mqtt_queue_message(uuid, uuid);
DROP FUNCTION mqtt.settled_status(uuid);
DROP FUNCTION api.process_mqtt_queue(integer);
COMMIT;
