-- Revert topicbase:ingest/known_topic from pg
BEGIN;
DROP TYPE mqtt.known_topic;
COMMIT;
