-- Verify topicbase:ingest/sender_documents on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.ingest_document(bytea, text)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.document_topic(mqtt.device_session, text, jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.path_topic(text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.posted_document(bytea, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.plain_body(bytea, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.whole_body(text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.form_document(text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.percent_decoded(text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.refuse_document(text, text)', false, 's', '{}');
ROLLBACK;
