-- Deploy topicbase:api/mqtt_publish to pg
-- requires: base/message_ids
-- requires: base/wake_bridge
-- requires: ingest/require_room
-- requires: integrations/access
-- requires: publish/first_json_fault
-- requires: publish/message_rules
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.mqtt_publish(integration_id uuid, messages json, organization_id uuid DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(mqtt_publish.integration_id, mqtt_publish.organization_id);
    v_limits mqtt.configuration;
    v_organization mqtt.organizations;
    v_max_bytes integer;
    v_prefix text;
    v_messages jsonb;
    v_count integer;
    v_fault record;
    v_receipts jsonb;
BEGIN
    SELECT c.* INTO STRICT v_limits FROM mqtt.configuration AS c;
    SELECT o.* INTO STRICT v_organization FROM mqtt.organizations AS o WHERE o.id = v_integration.organization_id;
    v_max_bytes := least(v_organization.max_payload_bytes, v_limits.max_payload_bytes);
    IF v_integration.status = 'inactive' THEN
        RAISE EXCEPTION 'integration_inactive' USING
            ERRCODE = 'PT403', DETAIL = 'The integration is switched off.', HINT = 'An admin switches it on with upsert_integration, status active.';
    END IF;
    PERFORM mqtt.require_room(v_integration.organization_id, 'outbound');
    IF messages IS NULL OR json_typeof(messages) <> 'array' THEN
        RAISE EXCEPTION 'messages_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'messages is an array of messages.', HINT = 'One message goes as an array of one.';
    END IF;
    v_count := json_array_length(messages);
    IF v_count = 0 THEN
        RAISE EXCEPTION 'messages_empty' USING ERRCODE = 'PT400', DETAIL = 'messages holds no message.', HINT = 'Send at least one.';
    ELSIF v_count > v_limits.max_batch_messages THEN
        RAISE EXCEPTION 'batch_too_large' USING
            ERRCODE = 'PT413',
            DETAIL = format('%s messages are more than the %s of one call.', v_count, v_limits.max_batch_messages),
            HINT = 'Send them in several calls.';
    END IF;
    BEGIN
        v_messages := mqtt.checked_jsonb(messages::text);
    EXCEPTION
        WHEN SQLSTATE 'PT400' OR statement_too_complex THEN
            RAISE EXCEPTION 'message_invalid' USING
                ERRCODE = 'PT400',
                DETAIL = coalesce(mqtt.first_json_fault(messages), mqtt.json_fault(messages)),
                HINT = 'None of the messages was queued.';
    END;
    -- At the shared broker, an organization's topics are its own; service_role stands above organizations.
    IF v_integration.integration_type = 'mqtt_hosted' AND NOT mqtt.is_operator() THEN
        v_prefix := v_organization.topic_prefix;
    END IF;
    WITH judged AS MATERIALIZED (
        SELECT
            e.ordinality - 1 AS place,
            mqtt.publish_fault(e.value) AS fault,
            NOT starts_with(e.value ->> 'topic', v_prefix || '/') AS is_foreign,
            coalesce(
                octet_length(mqtt.outbound_body(e.value -> 'payload', e.value ->> 'payload_encoding')), octet_length((e.value -> 'payload')::text)
            ) AS bytes
        FROM jsonb_array_elements(v_messages) WITH ORDINALITY AS e (value, ordinality)
    )
    SELECT j.* INTO v_fault
    FROM judged AS j
    WHERE j.fault IS NOT NULL OR j.is_foreign OR j.bytes > v_max_bytes
    ORDER BY j.place
    LIMIT 1;
    IF v_fault.fault IS NOT NULL THEN
        RAISE EXCEPTION 'message_invalid' USING
            ERRCODE = 'PT400', DETAIL = format('messages[%s]: %s', v_fault.place, v_fault.fault), HINT = 'None of the messages was queued.';
    ELSIF v_fault.is_foreign THEN
        RAISE EXCEPTION 'topic_not_allowed' USING
            ERRCODE = 'PT403',
            DETAIL = format('messages[%s]: topics at the hosted broker start with %s/.', v_fault.place, v_prefix),
            HINT = 'None of the messages was queued.';
    ELSIF v_fault.place IS NOT NULL THEN
        RAISE EXCEPTION 'payload_too_large' USING
            ERRCODE = 'PT413',
            DETAIL = format('messages[%s]: a payload of %s bytes is larger than %s.', v_fault.place, v_fault.bytes, v_max_bytes),
            HINT = 'None of the messages was queued.';
    END IF;
    WITH queued AS (
        INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id, expires_at, body)
        SELECT
            d.due_at,
            mqtt.outbound_document(d.value),
            v_integration.organization_id,
            v_integration.id,
            d.due_at + make_interval(secs => (d.value ->> 'message_expiry')::numeric::double precision),
            d.body
        FROM (
            SELECT
                e.ordinality,
                e.value,
                CASE WHEN e.value ->> 'deliver_at' IS NULL THEN now() ELSE greatest(mqtt.try_timestamptz(e.value ->> 'deliver_at'), now()) END AS due_at,
                mqtt.outbound_body(e.value -> 'payload', e.value ->> 'payload_encoding') AS body
            FROM jsonb_array_elements(v_messages) WITH ORDINALITY AS e (value, ordinality)
        ) AS d
        ORDER BY d.ordinality
        RETURNING enqueued_at, msg_id
    )
    SELECT jsonb_agg(jsonb_build_object('index', r.place, 'receipt_id', r.receipt_id) ORDER BY r.place) INTO v_receipts
    FROM (
        -- Ids were given in the order of the messages.
        SELECT row_number() OVER (ORDER BY q.msg_id) - 1 AS place, mqtt.message_id(q.enqueued_at, q.msg_id, true) AS receipt_id
        FROM queued AS q
    ) AS r;
    PERFORM mqtt.wake_bridge('outbound');
    PERFORM set_config('response.status', '202', true);
    RETURN jsonb_build_object('status', 'queued', 'receipts', v_receipts);
END;
$$;
COMMENT ON FUNCTION api.mqtt_publish(uuid, json, uuid) IS
$md$Publish messages to an integration's broker

messages is an array; all of them are queued, or none. Each has
- `topic`: MQTT topic name; at the hosted broker below the organization's prefix
- `payload`: any JSON; a string goes out as its text, anything else as JSON text. `payload_encoding` says otherwise: `json` (a string
  with its quotes), `text`, or `base64` (bytes)
- `qos` 0, 1 or 2, `retain`
- `content_type`, `response_topic`, `correlation_data` (base64), `user_properties` (object, or array of pairs), for MQTT 5
- `message_expiry`: seconds after which it is worthless; `deliver_at`: when to publish it (RFC 3339), at most a year ahead

Answers 202 `{"status": "queued", "receipts": [{"index", "receipt_id"}]}` once they are durable; get_mqtt_publish_receipts tells what
became of each.
Errors: 400 `messages_invalid`, `messages_empty`, `message_invalid` (details name the index); 403 `topic_not_allowed`,
`integration_inactive`; 404 `integration_not_found`; 413 `batch_too_large`, `payload_too_large`; 429 `intake_stopped`, with `Retry-After`.$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_publish(uuid, json, uuid) TO authenticated, service_role;
COMMIT;
