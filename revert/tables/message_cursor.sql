-- Revert topicbase:tables/message_cursor from pg
BEGIN;
DROP TYPE mqtt.message_cursor;
COMMIT;
