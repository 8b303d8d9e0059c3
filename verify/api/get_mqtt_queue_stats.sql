-- Verify topicbase:api/get_mqtt_queue_stats on pg
BEGIN;
SELECT mqtt.verify_function('api.get_mqtt_queue_stats(uuid)', true, 's', '{authenticated,service_role}');
ROLLBACK;
