-- Verify topicbase:ingest/queue_document on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.core_document(text, jsonb, integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.queue_document(text, jsonb, integer, boolean, text, timestamptz, jsonb)', false, 's', '{}');
ROLLBACK;
