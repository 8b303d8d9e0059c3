-- Verify topicbase:tables/stream_connections on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.stream_connections', '{}', '{}');
ROLLBACK;
