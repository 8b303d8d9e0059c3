-- Verify topicbase:process/take_messages on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.take_messages(tid[])', false, 'v', '{}');
ROLLBACK;
