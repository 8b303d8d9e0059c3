-- Revert topicbase:tables/stream_viewers from pg
BEGIN;
DROP TABLE mqtt.stream_viewers;
COMMIT;
