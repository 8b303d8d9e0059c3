-- Verify topicbase:tables/stream_tickets on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.stream_tickets', '{}', '{}');
ROLLBACK;
