-- Deploy topicbase:publish/enqueue_outbound to pg
-- requires: base/message_ids
-- requires: publish/first_json_reason
-- requires: publish/message_rules
-- requires: publish/permission
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.outbound_array(messages json, max_messages integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_count CONSTANT integer := CASE WHEN json_typeof(messages) = 'array' THEN json_array_length(messages) END;
BEGIN
    IF v_count IS NULL THEN
        RAISE EXCEPTION 'messages_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'messages must be an array of messages.', HINT = 'Send a single message as an array of one.';
    ELSIF v_count = 0 THEN
        RAISE EXCEPTION 'messages_empty' USING ERRCODE = 'PT400', DETAIL = 'messages contains no message.', HINT = 'Send at least one.';
    ELSIF v_count > max_messages THEN
        RAISE EXCEPTION 'batch_too_large' USING
            ERRCODE = 'PT413',
            DETAIL = format('%s messages are more than the %s that one call may have.', v_count, max_messages),
            HINT = 'Send them in several calls.';
    END IF;
    BEGIN
        RETURN mqtt.checked_jsonb(messages::text, 2);
    EXCEPTION
        WHEN SQLSTATE 'PT400' THEN
            PERFORM mqtt.refuse_outbound('message_invalid', coalesce(mqtt.first_json_reason(messages), mqtt.json_reason(messages, 2)));
            RETURN NULL;
    END;
END;
$$;
COMMENT ON FUNCTION mqtt.outbound_array(json, integer) IS
'The array of messages as jsonb. Raises messages_invalid, messages_empty, batch_too_large, or message_invalid for JSON that cannot be stored.';

CREATE OR REPLACE FUNCTION mqtt.require_publishable(messages jsonb, required_prefix text, max_bytes integer) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_first record;
BEGIN
    WITH message AS MATERIALIZED (
        SELECT
            e.ordinality - 1 AS place,
            mqtt.publish_reason(e.value) AS words,
            e.value ->> 'topic' AS topic,
            mqtt.outbound_bytes(e.value -> 'payload', mqtt.outbound_body(e.value -> 'payload', e.value ->> 'payload_encoding')) AS bytes
        FROM jsonb_array_elements(messages) WITH ORDINALITY AS e (value, ordinality)
    )
    SELECT j.* INTO v_first
    FROM (SELECT m.*, mqtt.outbound_fault(false, required_prefix, max_bytes, m.topic, m.bytes) AS fault FROM message AS m) AS j
    WHERE j.words IS NOT NULL OR j.fault IS NOT NULL
    ORDER BY j.place
    LIMIT 1;
    IF found THEN
        PERFORM mqtt.refuse_outbound(
            CASE WHEN v_first.words IS NULL THEN v_first.fault ELSE 'message_invalid' END,
            format('messages[%s]: ', v_first.place) || CASE
                WHEN v_first.words IS NOT NULL THEN v_first.words
                WHEN v_first.fault = 'topic_not_allowed' THEN format('topics at the hosted broker must start with %s/.', required_prefix)
                ELSE format('a payload of %s bytes is larger than the limit of %s.', v_first.bytes, max_bytes)
            END
        );
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_publishable(jsonb, text, integer) IS
'Raises message_invalid, topic_not_allowed or payload_too_large for the first message that must not be published within these limits (mqtt.outbound_limits).';

CREATE OR REPLACE FUNCTION mqtt.enqueue_outbound(organization_id uuid, integration_id uuid, messages jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_receipts jsonb;
BEGIN
    WITH queued AS (
        INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id, expires_at, body)
        SELECT
            d.due_at,
            mqtt.outbound_document(d.value),
            enqueue_outbound.organization_id,
            enqueue_outbound.integration_id,
            d.due_at + make_interval(secs => (d.value ->> 'message_expiry')::numeric::double precision),
            d.body
        FROM (
            SELECT
                e.ordinality,
                e.value,
                CASE WHEN e.value ->> 'deliver_at' IS NULL THEN now() ELSE greatest(mqtt.try_timestamptz(e.value ->> 'deliver_at'), now()) END AS due_at,
                mqtt.outbound_body(e.value -> 'payload', e.value ->> 'payload_encoding') AS body
            FROM jsonb_array_elements(messages) WITH ORDINALITY AS e (value, ordinality)
        ) AS d
        ORDER BY d.ordinality
        RETURNING enqueued_at, msg_id
    )
    SELECT jsonb_agg(jsonb_build_object('index', r.place, 'receipt_id', r.receipt_id) ORDER BY r.place) INTO v_receipts
    FROM (
        -- Ids were assigned in the order of the messages.
        SELECT row_number() OVER (ORDER BY q.msg_id) - 1 AS place, mqtt.keyed_message_id(q.enqueued_at, -q.msg_id, k.key) AS receipt_id
        FROM queued AS q
        CROSS JOIN mqtt.message_id_key AS k
    ) AS r;
    RETURN v_receipts;
END;
$$;
COMMENT ON FUNCTION mqtt.enqueue_outbound(uuid, uuid, jsonb) IS
'Enqueues valid messages to be published, in their order; returns [{"index", "receipt_id"}].';
COMMIT;
