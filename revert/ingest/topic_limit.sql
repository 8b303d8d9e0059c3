-- Revert topicbase:ingest/topic_limit from pg
BEGIN;
DROP FUNCTION mqtt.is_topic_refused(mqtt.device_session, text);
COMMIT;
