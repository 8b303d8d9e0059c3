-- Verify topicbase:ingest/message_document on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.core_document(text, jsonb, integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.message_document(text, jsonb, integer, boolean, text, timestamptz, jsonb)', false, 's', '{}');
ROLLBACK;
