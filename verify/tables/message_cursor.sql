-- Verify topicbase:tables/message_cursor on pg
BEGIN;
SELECT 'mqtt.message_cursor'::regtype;
ROLLBACK;
