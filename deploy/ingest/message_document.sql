-- Deploy topicbase:ingest/message_document to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.core_document(topic text, payload jsonb, qos integer) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN payload IS NULL AND qos > 0 THEN jsonb_build_object('topic', topic, 'qos', qos)
        WHEN payload IS NULL THEN jsonb_build_object('topic', topic)
        WHEN qos > 0 THEN jsonb_build_object('topic', topic, 'payload', payload, 'qos', qos)
        ELSE jsonb_build_object('topic', topic, 'payload', payload)
    END;
END;
COMMENT ON FUNCTION mqtt.core_document(text, jsonb, integer) IS 'mqtt.message_document of a message with no more than that, as most are: one call makes it.';

CREATE OR REPLACE FUNCTION mqtt.message_document(
    topic text, payload jsonb, qos integer, retain boolean, content_type text, sent_at timestamptz, properties jsonb DEFAULT NULL
) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN NOT retain AND content_type IS NULL AND sent_at IS NULL AND properties IS NULL THEN mqtt.core_document(topic, payload, qos)
        ELSE mqtt.core_document(topic, payload, qos)
            || CASE WHEN retain THEN '{"retain": true}'::jsonb ELSE '{}' END
            || CASE WHEN content_type IS NULL THEN '{}' ELSE jsonb_build_object('content_type', content_type) END
            || CASE WHEN sent_at IS NULL THEN '{}' ELSE jsonb_build_object('timestamp', sent_at) END
            || CASE WHEN properties IS NULL THEN '{}' ELSE jsonb_build_object('properties', properties) END
    END;
END;
COMMENT ON FUNCTION mqtt.message_document(text, jsonb, integer, boolean, text, timestamptz, jsonb) IS
'The message as it stands in the queue: {"topic", "payload", "qos", "retain", "content_type", "timestamp", "properties"}; what has its default is left out, as is the payload of a message whose body holds it.';
COMMIT;
