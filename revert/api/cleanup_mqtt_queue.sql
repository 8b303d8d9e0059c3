-- Revert topicbase:api/cleanup_mqtt_queue from pg
BEGIN;
DROP FUNCTION api.cleanup_mqtt_queue();
COMMIT;
