-- Revert topicbase:ingest/queue_document from pg
BEGIN;
DROP FUNCTION mqtt.queue_document(text, jsonb, integer, boolean, text, timestamptz, jsonb);
DROP FUNCTION mqtt.core_document(text, jsonb, integer);
COMMIT;
