-- Revert topicbase:base/codecs from pg
BEGIN;
DROP FUNCTION mqtt.codecs();
COMMIT;
