-- Revert topicbase:process/take_messages from pg
BEGIN;
DROP FUNCTION mqtt.take_messages(tid []);
COMMIT;
