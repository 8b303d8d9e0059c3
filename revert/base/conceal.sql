-- Revert topicbase:base/conceal from pg
BEGIN;
DROP FUNCTION mqtt.reveal(text);
DROP FUNCTION mqtt.conceal(bytea);
COMMIT;
