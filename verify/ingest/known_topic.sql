-- Verify topicbase:ingest/known_topic on pg
BEGIN;
SELECT NULL::mqtt.known_topic;
ROLLBACK;
