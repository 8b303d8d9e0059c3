-- Revert topicbase:ingest/enqueue_batch from pg
BEGIN;
DROP FUNCTION mqtt.queue_messages(mqtt.device_session, jsonb, text [], integer);
DROP FUNCTION mqtt.queue_plain_messages(mqtt.device_session, jsonb);
DROP FUNCTION mqtt.judged_messages(jsonb, text [], text, text [], integer);
DROP FUNCTION mqtt.message_faults(json, text);
DROP FUNCTION mqtt.bare_messages(json);
COMMIT;
