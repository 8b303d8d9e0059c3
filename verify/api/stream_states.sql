-- Verify topicbase:api/stream_states on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.stream_presence(integer[],text[])', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.stream_integrations(integer[],text[])', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.stream_statistics(integer[])', true, 'v', '{}');
ROLLBACK;
