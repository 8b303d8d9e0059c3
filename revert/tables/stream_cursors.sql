-- Revert topicbase:tables/stream_cursors from pg
BEGIN;
DROP FUNCTION mqtt.read_stream_cursor(text);
DROP FUNCTION mqtt.stream_cursor(integer, bigint, bigint, integer, integer, timestamptz);
COMMIT;
