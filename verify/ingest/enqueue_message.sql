-- Verify topicbase:ingest/enqueue_message on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.enqueue_message(mqtt.device_session, text, jsonb, bytea, integer, boolean, text, uuid, timestamptz, jsonb)', true, 'v', '{}');
ROLLBACK;
