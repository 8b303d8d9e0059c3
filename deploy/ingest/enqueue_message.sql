-- Deploy topicbase:ingest/enqueue_message to pg
-- requires: base/message_ids
-- requires: ingest/count_messages
-- requires: ingest/message_document
-- requires: ingest/message_properties
-- requires: ingest/message_rules
-- requires: ingest/session_quotas
-- requires: ingest/topic_limit
-- requires: tables/ingest_keys
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.enqueue_message(
    session mqtt.device_session, topic text, payload jsonb, body bytea, qos integer, retain boolean,
    content_type text, message_id uuid, sent_at timestamptz, properties jsonb DEFAULT NULL
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
    IF v_fault IS NULL AND properties IS NOT NULL THEN
        v_fault := mqtt.properties_fault(properties, body);
    END IF;
    IF v_fault IS NULL AND mqtt.is_topic_refused(session, topic) THEN
        v_fault := 'topic_limit_reached';
    END IF;
    IF v_fault IS NOT NULL THEN
        PERFORM mqtt.refuse_message(v_fault, topic, session.topic_prefix, session.max_payload_bytes);
    END IF;
    IF message_id IS NOT NULL THEN
        INSERT INTO mqtt.ingest_keys (organization_id, credential_id, message_id)
        VALUES (session.organization_id, session.credential_id, enqueue_message.message_id)
        ON CONFLICT DO NOTHING;
    END IF;
    IF message_id IS NULL OR found THEN
        IF coalesce(session.credential_rate, session.organization_rate) IS NOT NULL AND mqtt.take_quota(session, 1) = 0 THEN
            PERFORM mqtt.refuse_for_now('429', 'quota_exceeded', 'More messages a second than this device or its organization may send.', mqtt.quota_wait(session));
        END IF;
        IF session.organization_bytes IS NOT NULL THEN
            PERFORM mqtt.require_bytes(session, coalesce(octet_length(body), pg_column_size(payload)));
        END IF;
        INSERT INTO pgmq.q_mqtt_messages AS q (vt, message, organization_id, integration_id, credential_id, message_id, body)
        VALUES (
            clock_timestamp(), mqtt.message_document(
                topic, payload, qos, retain, content_type, sent_at, CASE WHEN properties IS NOT NULL THEN mqtt.message_properties(properties) END
            ),
            session.organization_id, session.integration_id, session.credential_id, enqueue_message.message_id, enqueue_message.body
        )
        RETURNING coalesce(q.message_id, mqtt.keyed_message_id(q.enqueued_at, q.msg_id, (SELECT k.key FROM mqtt.message_id_key AS k))) INTO v_message_id;
        PERFORM mqtt.count_accepted(session.organization_id, 1);
    END IF;
    PERFORM set_config('response.status', '202', true);
    RETURN json_build_object('message_id', v_message_id, 'status', 'queued');
END;
$$;
COMMENT ON FUNCTION mqtt.enqueue_message(mqtt.device_session, text, jsonb, bytea, integer, boolean, text, uuid, timestamptz, jsonb) IS
'Checks one message against its session and queues it, with payload (JSON) or body (bytes) and the keys for MQTT 5 properties (mqtt.message_properties); a message_id seen before is answered and not queued again. Sets HTTP 202. The general way beside the short one in api.mqtt_ingest: what that takes, this would queue the same.';
COMMIT;
