-- Revert topicbase:ingest/enqueue_message from pg
BEGIN;
DROP FUNCTION mqtt.enqueue_message(mqtt.device_session, text, jsonb, bytea, integer, boolean, text, uuid, timestamptz, jsonb);
COMMIT;
