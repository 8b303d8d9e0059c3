-- Verify topicbase:process/due_messages on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.due_messages(integer, uuid [])', true, 'v', '{}');
ROLLBACK;
