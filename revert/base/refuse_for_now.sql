-- Revert topicbase:base/refuse_for_now from pg
BEGIN;
DROP FUNCTION mqtt.refuse_for_now(text, text, text, integer);
COMMIT;
