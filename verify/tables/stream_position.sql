-- Verify topicbase:tables/stream_position on pg
BEGIN;
SELECT NULL::mqtt.stream_position;
ROLLBACK;
