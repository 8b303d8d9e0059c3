-- Verify topicbase:tables/log_activity on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.log_activity(uuid, uuid, text, text, jsonb, text)', true, 'v', '{}');
ROLLBACK;
