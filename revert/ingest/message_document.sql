-- Revert topicbase:ingest/message_document from pg
BEGIN;
DROP FUNCTION mqtt.message_document(text, jsonb, integer, boolean, text, timestamptz, jsonb);
DROP FUNCTION mqtt.core_document(text, jsonb, integer);
COMMIT;
