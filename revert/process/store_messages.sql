-- Revert topicbase:process/store_messages from pg
BEGIN;
DROP FUNCTION mqtt.store_messages(tid []);
COMMIT;
