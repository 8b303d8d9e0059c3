-- Verify topicbase:tables/stream_viewers on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.stream_viewers', '{}', '{}');
ROLLBACK;
