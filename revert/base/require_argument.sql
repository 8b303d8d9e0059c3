-- Revert topicbase:base/require_argument from pg
BEGIN;
DROP FUNCTION mqtt.require_argument(text, text);
COMMIT;
