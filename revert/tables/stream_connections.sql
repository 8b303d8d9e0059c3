-- Revert topicbase:tables/stream_connections from pg
BEGIN;
DROP TABLE mqtt.stream_connections;
COMMIT;
