-- Verify topicbase:cleanup on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.upkeep()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.watch()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.log_expired_credentials()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.cleanup()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.trim_rows(regclass, text, text, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('api.cleanup_mqtt_queue()', true, 'v', '{service_role}');
ROLLBACK;
