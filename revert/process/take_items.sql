-- Revert topicbase:process/take_items from pg
BEGIN;
DROP FUNCTION mqtt.take_items(tid [], timestamptz, timestamptz);
COMMIT;
