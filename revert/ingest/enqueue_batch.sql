-- Revert topicbase:ingest/enqueue_batch from pg
BEGIN;
DROP FUNCTION mqtt.enqueue_batch(mqtt.device_session, jsonb, text [], integer);
DROP FUNCTION mqtt.enqueue_plain_batch(mqtt.device_session, jsonb);
DROP FUNCTION mqtt.judged_messages(jsonb, text [], text, text [], integer);
DROP FUNCTION mqtt.message_reasons(json, text);
DROP FUNCTION mqtt.bare_messages(json);
COMMIT;
