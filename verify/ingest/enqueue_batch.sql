-- Verify topicbase:ingest/enqueue_batch on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.judged_messages(jsonb, text[], text, text[], integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.enqueue_batch(mqtt.device_session, jsonb, text[], integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.enqueue_plain_batch(mqtt.device_session, jsonb)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.message_reasons(json, text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.bare_messages(json)', false, 'i', '{}');
ROLLBACK;
