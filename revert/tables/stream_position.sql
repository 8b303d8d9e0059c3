-- Revert topicbase:tables/stream_position from pg
BEGIN;
DROP TYPE mqtt.stream_position;
COMMIT;
