-- Verify topicbase:api/get_mqtt_queue_stats on pg
BEGIN;
SELECT mqtt.verify_function('api.get_mqtt_queue_stats(uuid, uuid)', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.queue_statistics(uuid)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.queue_depth(uuid)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.queue_rates(uuid)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.seconds_in_queue(uuid)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.top_errors(uuid)', false, 's', '{}');
ROLLBACK;
