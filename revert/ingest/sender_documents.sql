-- Revert topicbase:ingest/sender_documents from pg
BEGIN;
DROP FUNCTION mqtt.ingest_document(bytea, text);
DROP FUNCTION mqtt.document_topic(mqtt.device_session, text, jsonb);
DROP FUNCTION mqtt.path_topic(text);
DROP FUNCTION mqtt.posted_document(bytea, text);
DROP FUNCTION mqtt.plain_body(bytea, text);
DROP FUNCTION mqtt.whole_body(text);
DROP FUNCTION mqtt.form_document(text);
DROP FUNCTION mqtt.percent_decoded(text);
DROP FUNCTION mqtt.refuse_document(text, text);
COMMIT;
