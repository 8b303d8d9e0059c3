-- Revert topicbase:process/decoded_message from pg
BEGIN;
DROP FUNCTION mqtt.decoded_message(jsonb, bytea, timestamptz, text, text, smallint, smallint, smallint, interval, interval);
DROP FUNCTION mqtt.user_property(jsonb, text);
COMMIT;
