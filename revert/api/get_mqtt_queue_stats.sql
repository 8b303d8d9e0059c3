-- Revert topicbase:api/get_mqtt_queue_stats from pg
BEGIN;
DROP FUNCTION api.get_mqtt_queue_stats(uuid);
COMMIT;
