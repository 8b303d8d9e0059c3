-- Verify topicbase:api/process_mqtt_queue on pg
BEGIN;
SELECT mqtt.verify_function('api.process_mqtt_queue(integer)', true, 'v', '{service_role}');
SELECT mqtt.verify_function('api.process_mqtt_queue_message(uuid, uuid)', true, 'v', '{service_role}');
SELECT mqtt.verify_function('mqtt.settled_status(uuid)', false, 's', '{}');
ROLLBACK;
