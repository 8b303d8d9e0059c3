-- Verify topicbase:api/cleanup_mqtt_queue on pg
BEGIN;
SELECT mqtt.verify_function('api.cleanup_mqtt_queue()', true, 'v', '{service_role}');
ROLLBACK;
