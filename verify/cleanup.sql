-- Verify topicbase:cleanup on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.trim_rows(regclass, text, text, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.trim_small_tables(integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.cleanup(integer)', true, 'v', '{}');
SELECT mqtt.verify_function('api.cleanup_mqtt_queue()', true, 'v', '{service_role}');
ROLLBACK;
