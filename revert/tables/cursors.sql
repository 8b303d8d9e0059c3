-- Revert topicbase:tables/cursors from pg
BEGIN;
DROP FUNCTION mqtt.cursor_position(mqtt.message_cursor);
DROP FUNCTION mqtt.read_cursor(text);
DROP FUNCTION mqtt.encode_cursor(timestamptz, timestamptz, uuid, uuid);
COMMIT;
