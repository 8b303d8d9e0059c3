-- Revert topicbase:ingest/store_plain_batch from pg
BEGIN;
DROP FUNCTION mqtt.store_plain_batch(mqtt.device_session, jsonb);
DROP FUNCTION mqtt.known_topics(mqtt.device_session, jsonb);
COMMIT;
