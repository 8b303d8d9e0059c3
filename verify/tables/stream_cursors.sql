-- Verify topicbase:tables/stream_cursors on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.stream_cursor(integer,bigint,bigint,integer,integer,timestamptz)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.read_stream_cursor(text)', true, 's', '{}');
ROLLBACK;
