-- Verify topicbase:integration_activity_log on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.integration_activity_log', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_function('mqtt.log_activity(uuid, uuid, text, text, jsonb, text)', true, 'v', '{}');
ROLLBACK;
