-- Revert topicbase:base/message_ids from pg
BEGIN;
DROP FUNCTION mqtt.message_id_time(uuid);
DROP FUNCTION mqtt.message_id_number(uuid, boolean);
DROP FUNCTION mqtt.message_id(timestamptz, bigint, boolean);
COMMIT;
