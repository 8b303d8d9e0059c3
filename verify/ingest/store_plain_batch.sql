-- Verify topicbase:ingest/store_plain_batch on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.known_topics(mqtt.device_session, jsonb)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.store_plain_batch(mqtt.device_session, jsonb)', true, 'v', '{}');
ROLLBACK;
