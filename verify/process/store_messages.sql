-- Verify topicbase:process/store_messages on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.store_messages(tid[])', true, 'v', '{}');
ROLLBACK;
