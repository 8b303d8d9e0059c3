-- Verify topicbase:ingest/quotas on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.take_tokens(uuid, numeric, integer, integer)', true, 'v', '{}');
ROLLBACK;
