-- Verify topicbase:api/stream_messages on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.stream_message(mqtt.history,mqtt.topics,text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.stream_readings(mqtt.history,text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.payload_bytes(jsonb,bytea)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.stream_messages(integer[],bigint[],bigint[],integer[],integer[],integer[],text,uuid,uuid[],boolean,integer)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.stream_routes(integer[],integer[],integer[],text[],uuid[],text[])', true, 's', '{}');
ROLLBACK;
