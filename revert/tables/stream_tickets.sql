-- Revert topicbase:tables/stream_tickets from pg
BEGIN;
DROP TABLE mqtt.stream_tickets;
COMMIT;
