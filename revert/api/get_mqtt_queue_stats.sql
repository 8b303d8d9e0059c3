-- Revert topicbase:api/get_mqtt_queue_stats from pg
BEGIN;
DROP FUNCTION api.get_mqtt_queue_stats(uuid, uuid);
DROP FUNCTION mqtt.queue_statistics(uuid);
DROP FUNCTION mqtt.top_errors(uuid);
DROP FUNCTION mqtt.seconds_in_queue(uuid);
DROP FUNCTION mqtt.queue_rates(uuid);
DROP FUNCTION mqtt.queue_depth(uuid);
COMMIT;
