-- Deploy topicbase:ingest/enqueue_message to pg
-- requires: base/message_ids
-- requires: base/refuse_for_now
-- requires: base/wake_bridge
-- requires: ingest/ledger
-- requires: ingest/message_rules
-- requires: ingest/session_quotas
-- requires: tables/ingest_keys
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.queue_document(
    topic text, payload jsonb, qos integer, retain boolean, content_type text, sent_at timestamptz
) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN qos = 0 AND NOT retain AND content_type IS NULL AND sent_at IS NULL AND payload IS NOT NULL
            THEN jsonb_build_object('topic', topic, 'payload', payload)
        ELSE jsonb_build_object('topic', topic)
            || CASE WHEN payload IS NULL THEN '{}' ELSE jsonb_build_object('payload', payload) END
            || CASE WHEN qos = 0 THEN '{}' ELSE jsonb_build_object('qos', qos) END
            || CASE WHEN retain THEN '{"retain": true}'::jsonb ELSE '{}' END
            || CASE WHEN content_type IS NULL THEN '{}' ELSE jsonb_build_object('content_type', content_type) END
            || CASE WHEN sent_at IS NULL THEN '{}' ELSE jsonb_build_object('timestamp', sent_at) END
    END;
END;
COMMENT ON FUNCTION mqtt.queue_document(text, jsonb, integer, boolean, text, timestamptz) IS
'The message as it stands in the queue: {"topic", "payload", "qos", "retain", "content_type", "timestamp"}; what has its default is left out.';

CREATE OR REPLACE FUNCTION mqtt.queue_message(
    session mqtt.device_session, topic text, payload jsonb, body bytea, qos integer, retain boolean,
    content_type text, message_id uuid, sent_at timestamptz
) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_message_id uuid := message_id;
    v_fault text := mqtt.ingest_fault(
        topic, qos, coalesce(octet_length(body), pg_column_size(payload)), session.topic_prefix, session.publish_filters,
        session.max_payload_bytes
    );
BEGIN
    IF v_fault IS NULL AND octet_length(content_type) > 255 THEN
        v_fault := 'content_type_invalid';
    END IF;
    IF v_fault IS NOT NULL THEN
        PERFORM mqtt.refuse_message(v_fault, topic, session.topic_prefix, session.max_payload_bytes);
    END IF;
    IF message_id IS NOT NULL THEN
        INSERT INTO mqtt.ingest_keys (organization_id, credential_id, message_id)
        VALUES (session.organization_id, session.credential_id, queue_message.message_id)
        ON CONFLICT DO NOTHING;
    END IF;
    IF message_id IS NULL OR found THEN
        IF coalesce(session.credential_rate, session.organization_rate) IS NOT NULL AND mqtt.take_quota(session, 1) = 0 THEN
            PERFORM mqtt.refuse_for_now('429', 'quota_exceeded', 'More messages a second than this device or its organization may send.', mqtt.quota_wait(session));
        END IF;
        INSERT INTO pgmq.q_mqtt_messages AS q (vt, message, organization_id, integration_id, credential_id, message_id, body)
        VALUES (
            clock_timestamp(), mqtt.queue_document(topic, payload, qos, retain, content_type, sent_at),
            session.organization_id, session.integration_id, session.credential_id, queue_message.message_id, queue_message.body
        )
        RETURNING coalesce(q.message_id, mqtt.message_id(q.enqueued_at, q.msg_id)) INTO v_message_id;
        PERFORM mqtt.count_accepted(session.organization_id, 1);
        PERFORM mqtt.wake_bridge('ingest');
    END IF;
    PERFORM set_config('response.status', '202', true);
    RETURN json_build_object('message_id', v_message_id, 'status', 'queued');
END;
$$;
COMMENT ON FUNCTION mqtt.queue_message(mqtt.device_session, text, jsonb, bytea, integer, boolean, text, uuid, timestamptz) IS
'Checks one message against its session and queues it, with payload (JSON) or body (bytes); a message_id seen before is answered and not queued again. Sets HTTP 202.';
COMMIT;
