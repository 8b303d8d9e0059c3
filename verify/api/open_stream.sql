-- Verify topicbase:api/open_stream on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.stream_device(integer[],uuid[],text)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.open_stream(jsonb,uuid,text,text,text[],uuid)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.watch_stream(uuid,integer[])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.begin_stream(uuid)', true, 'v', '{}');
ROLLBACK;
