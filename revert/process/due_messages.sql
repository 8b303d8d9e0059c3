-- Revert topicbase:process/due_messages from pg
BEGIN;
DROP FUNCTION mqtt.due_messages(integer, uuid []);
COMMIT;
