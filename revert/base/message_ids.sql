-- Revert topicbase:base/message_ids from pg
BEGIN;
DROP FUNCTION mqtt.message_id_time(uuid);
DROP FUNCTION mqtt.message_id(timestamptz, bigint, boolean, integer);
DROP FUNCTION mqtt.placed_message_id(text, integer);
DROP FUNCTION mqtt.keyed_message_id(timestamptz, bigint, bytea, integer);
COMMIT;
