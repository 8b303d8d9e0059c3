-- Deploy topicbase:api_mqtt_ingest_batch to pg
-- requires: queue_message
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION mqtt.bare_messages(document json) RETURNS json
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF json_typeof(document) = 'object' THEN
        RETURN CASE WHEN (SELECT array_agg(k.key) FROM json_object_keys(document) AS k (key)) = '{messages}' THEN document -> 'messages' END;
    END IF;
    RETURN document;
END;
$$;
COMMENT ON FUNCTION mqtt.bare_messages(json) IS 'The messages of a batch that stand in {"messages": …}, or are the document; null when the object holds anything else.';

CREATE FUNCTION mqtt.message_faults(messages json, nul_mark text) RETURNS text []
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        array_agg(
            CASE
                WHEN strpos(e.value::text, nul_mark) > 0 THEN 'The JSON holds \u0000, which Postgres text cannot hold.'
                ELSE mqtt.json_fault(e.value)
            END ORDER BY e.ordinality
        )
    FROM json_array_elements(messages) WITH ORDINALITY AS e;
END;
COMMENT ON FUNCTION mqtt.message_faults(json, text) IS
'For each element why it cannot be stored as JSON, null where it can; for batches that hold such an element. nul_mark stands where \u0000 stood.';

CREATE FUNCTION mqtt.queue_messages(session mqtt.device_session, messages jsonb, faults text [], most integer) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_nestloop = off
AS $$
DECLARE
    v_answer json;
BEGIN
    WITH judged AS MATERIALIZED (
        SELECT
            t.ordinality, t.topic, t.payload, t.body, coalesce(t.qos, '0') AS qos, coalesce(t.retain, 'false') AS retain, t.content_type, t.stamped_at,
            t.message_id,
            CASE
                WHEN queue_messages.faults[t.ordinality] IS NOT NULL THEN 'payload_invalid'
                WHEN jsonb_typeof(t.value) <> 'object' THEN 'message_invalid'
                WHEN t.value - '{topic,payload,qos,retain,content_type,payload_encoding,message_id,timestamp}'::text [] <> '{}' THEN 'message_invalid'
                WHEN jsonb_typeof(t.value -> 'topic') IS DISTINCT FROM 'string' THEN 'topic_invalid'
                WHEN t.payload IS NULL THEN 'payload_missing'
                WHEN t.qos IS NOT NULL AND t.qos NOT IN ('0', '1', '2') THEN 'qos_invalid'
                WHEN t.retain IS NOT NULL AND t.retain NOT IN ('true', 'false') THEN 'retain_invalid'
                WHEN t.encoding = 'base64' AND t.body IS NULL THEN 'payload_not_base64'
                WHEN t.encoding IS NOT NULL AND t.encoding NOT IN ('json', 'text', 'base64') THEN 'payload_encoding_invalid'
                WHEN t.encoding = 'text' AND jsonb_typeof(t.payload) <> 'string' THEN 'payload_encoding_invalid'
                WHEN octet_length(t.content_type) > 255 THEN 'content_type_invalid'
                WHEN t.message_id IS NOT NULL AND t.message_id !~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' THEN 'message_id_invalid'
                WHEN t.sent_at IS NOT NULL AND t.stamped_at IS NULL THEN 'timestamp_invalid'
                ELSE mqtt.ingest_fault(
                    t.topic, 0, coalesce(octet_length(t.body), pg_column_size(t.payload)), session.topic_prefix, session.publish_filters,
                    session.max_payload_bytes
                )
            END AS rule
        FROM (
            SELECT
                i.*,
                CASE WHEN i.encoding = 'base64' THEN mqtt.try_base64(i.payload #>> '{}') END AS body,
                CASE WHEN i.sent_at IS NOT NULL THEN mqtt.try_timestamptz(i.sent_at) END AS stamped_at
            FROM (
                SELECT
                    e.ordinality,
                    e.value,
                    e.value ->> 'topic' AS topic,
                    e.value -> 'payload' AS payload,
                    e.value ->> 'qos' AS qos,
                    e.value ->> 'retain' AS retain,
                    e.value ->> 'content_type' AS content_type,
                    e.value ->> 'payload_encoding' AS encoding,
                    e.value ->> 'message_id' AS message_id,
                    e.value ->> 'timestamp' AS sent_at
                FROM jsonb_array_elements(messages) WITH ORDINALITY AS e (value, ordinality)
                OFFSET 0
            ) AS i
            OFFSET 0
        ) AS t
    ),
    checked AS (
        SELECT
            j.*,
            CASE
                WHEN j.rule IS NOT NULL THEN j.rule
                -- From the first that the quota leaves no room for.
                WHEN most IS NOT NULL AND j.ordinality >= (
                    SELECT x.ordinality FROM judged AS x WHERE x.rule IS NULL ORDER BY x.ordinality OFFSET coalesce(most, 0) LIMIT 1
                ) THEN 'quota_exceeded'
            END AS fault
        FROM judged AS j
    ),
    -- In the order of the ids, so that two batches with the same ids cannot lock each other out.
    fresh AS (
        INSERT INTO mqtt.ingest_keys (organization_id, credential_id, message_id)
        SELECT DISTINCT session.organization_id, session.credential_id, c.message_id::uuid
        FROM checked AS c
        WHERE c.fault IS NULL AND c.message_id IS NOT NULL
        ORDER BY c.message_id::uuid
        ON CONFLICT DO NOTHING
        RETURNING message_id
    ),
    queued AS (
        INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, credential_id, message_id, body)
        SELECT
            statement_timestamp(),
            mqtt.queue_document(
                c.topic, CASE WHEN c.body IS NULL THEN c.payload END, c.qos::integer, c.retain::boolean, c.content_type, c.stamped_at
            ),
            session.organization_id, session.integration_id, session.credential_id, c.first_id, c.body
        FROM (
            SELECT x.*, NULL::uuid AS first_id
            FROM checked AS x
            WHERE x.fault IS NULL AND x.message_id IS NULL
            UNION ALL
            SELECT x.*, f.message_id
            FROM fresh AS f
            JOIN (
                SELECT DISTINCT ON (y.message_id::uuid) y.*
                FROM checked AS y
                WHERE y.fault IS NULL AND y.message_id IS NOT NULL
                ORDER BY y.message_id::uuid, y.ordinality
            ) AS x ON x.message_id::uuid = f.message_id
        ) AS c
        ORDER BY c.ordinality
        RETURNING 1
    )
    SELECT json_build_object(
        'queued', (SELECT count(*) FROM queued),
        'accepted', count(*) FILTER (WHERE c.fault IS NULL),
        'rejected', coalesce(
            json_agg(
                json_build_object(
                    'index', c.ordinality - 1, 'code', c.fault,
                    'message', coalesce(queue_messages.faults[c.ordinality], mqtt.fault_text(c.fault, c.topic))
                ) ORDER BY c.ordinality
            ) FILTER (WHERE c.fault IS NOT NULL), '[]'
        )
    ) INTO v_answer
    FROM checked AS c;
    RETURN v_answer;
END;
$$;
COMMENT ON FUNCTION mqtt.queue_messages(mqtt.device_session, jsonb, text [], integer) IS
'Queues what is valid of an array of messages in one statement; most of them, where a quota says so; returns {"queued", "accepted", "rejected": [{"index", "code", "message"}]}, repeats being accepted but not queued. faults: mqtt.message_faults, or null.';

CREATE FUNCTION mqtt.queue_plain_messages(session mqtt.device_session, messages jsonb) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_queued integer;
BEGIN
    WITH judged AS MATERIALIZED (
        SELECT
            t.value,
            jsonb_typeof(t.value -> 'topic') IS NOT DISTINCT FROM 'string' AND t.payload IS NOT NULL
            AND t.value - '{topic,payload}'::text [] = '{}'
            AND mqtt.ingest_fault(t.topic, 0, pg_column_size(t.payload), session.topic_prefix, session.publish_filters, session.max_payload_bytes) IS NULL
            AS is_plain
        FROM (
            SELECT e.value, e.value ->> 'topic' AS topic, e.value -> 'payload' AS payload
            FROM jsonb_array_elements(messages) AS e (value)
            OFFSET 0
        ) AS t
    ),
    queued AS (
        INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, credential_id)
        SELECT statement_timestamp(), j.value, session.organization_id, session.integration_id, session.credential_id
        FROM judged AS j
        WHERE (SELECT bool_and(x.is_plain) FROM judged AS x)
        RETURNING 1
    )
    SELECT count(*) INTO v_queued FROM queued;
    RETURN v_queued;
END;
$$;
COMMENT ON FUNCTION mqtt.queue_plain_messages(mqtt.device_session, jsonb) IS
'Queues an array of messages as they are, when each is valid and holds topic and payload alone, as most do; returns how many, or 0 when it is for mqtt.queue_messages.';

-- Its argument has no name, so that PostgREST hands the body over as it came: taken apart by PostgREST, one \u0000 would lose the whole batch.
CREATE FUNCTION api.mqtt_ingest_batch(json) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_session mqtt.device_session := mqtt.device_login();
    v_nul_mark text;
    v_bare json;
    v_messages jsonb;
    v_is_array boolean;
    v_count integer;
    v_faults text [];
    v_answer json;
    v_most integer;
    v_queued integer := 0;
BEGIN
    IF v_session.fault IS NOT NULL THEN
        RETURN mqtt.answer_wrong_login(v_session);
    END IF;
    BEGIN
        v_messages := mqtt.checked_jsonb($1::text);
        IF jsonb_typeof(v_messages) = 'object' AND v_messages - 'messages' = '{}' THEN
            v_messages := v_messages -> 'messages';
        END IF;
        v_is_array := jsonb_typeof(v_messages) = 'array';
        v_count := CASE WHEN v_is_array THEN jsonb_array_length(v_messages) END;
    EXCEPTION
        WHEN SQLSTATE 'PT400' THEN
            v_messages := NULL;
            -- Some element cannot be stored: find which, and keep the others. A mark that none of them has takes the place of \u0000.
            v_nul_mark := 'nul' || md5(random()::text || clock_timestamp()::text);
            v_bare := mqtt.bare_messages(regexp_replace($1::text, '(?<!\\)((?:\\\\)*)\\u0000', '\1' || v_nul_mark, 'g')::json);
            v_is_array := json_typeof(v_bare) = 'array';
            v_count := CASE WHEN v_is_array THEN json_array_length(v_bare) END;
    END;
    IF v_is_array IS NOT TRUE THEN
        RAISE EXCEPTION 'messages_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'messages is an array of messages.',
            HINT = 'Send {"messages": [{"topic": …, "payload": …}, …]}.';
    ELSIF v_count = 0 THEN
        RAISE EXCEPTION 'batch_empty' USING
            ERRCODE = 'PT400', DETAIL = 'The array holds no message.', HINT = 'Send at least one message.';
    ELSIF v_count > v_session.max_batch_messages THEN
        RAISE EXCEPTION 'batch_too_large' USING
            ERRCODE = 'PT413',
            DETAIL = format('The array holds %s messages.', v_count),
            HINT = format('Send at most %s messages a call.', v_session.max_batch_messages);
    END IF;
    IF v_messages IS NULL THEN
        v_faults := mqtt.message_faults(v_bare, v_nul_mark);
        SELECT jsonb_agg(CASE WHEN v_faults[e.ordinality] IS NULL THEN e.value::jsonb ELSE 'null' END ORDER BY e.ordinality)
        INTO v_messages
        FROM json_array_elements(v_bare) WITH ORDINALITY AS e;
    END IF;
    IF coalesce(v_session.credential_rate, v_session.organization_rate) IS NOT NULL THEN
        v_most := mqtt.take_quota(v_session, v_count);
        IF v_most = 0 THEN
            PERFORM mqtt.refuse_for_now('429', 'quota_exceeded', 'More messages a second than this device or its organization may send.', mqtt.quota_wait(v_session));
        ELSIF v_most < v_count THEN
            PERFORM set_config('response.headers', format('[{"Retry-After": "%s"}]', mqtt.quota_wait(v_session)), true);
        END IF;
    END IF;
    IF v_faults IS NULL AND coalesce(v_most, v_count) = v_count THEN
        v_queued := mqtt.queue_plain_messages(v_session, v_messages);
        v_answer := json_build_object('accepted', v_queued, 'rejected', '[]'::json);
    END IF;
    IF v_queued = 0 THEN
        v_answer := mqtt.queue_messages(v_session, v_messages, v_faults, v_most);
        v_queued := (v_answer ->> 'queued')::integer;
    END IF;
    IF v_queued > 0 THEN
        PERFORM mqtt.count_accepted(v_session.organization_id, v_queued);
        PERFORM mqtt.wake_bridge('ingest');
    END IF;
    PERFORM set_config('response.status', '202', true);
    RETURN json_build_object('accepted', v_answer -> 'accepted', 'rejected', v_answer -> 'rejected');
END;
$$;
COMMENT ON FUNCTION api.mqtt_ingest_batch(json) IS
$md$Send many messages as a device

The body is `{"messages": [...]}`, or that array alone: up to 10,000 objects with the arguments of `mqtt_ingest` (`topic`, `payload`, `qos`, `retain`, `content_type`,
`payload_encoding`, `message_id`, `timestamp`). Valid ones are kept, bad ones are named: answers 202
`{"accepted": n, "rejected": [{"index", "code", "message"}]}`; `index` counts from 0. A repeated `message_id` counts as accepted and is
stored once.

Errors: 401 `invalid_credentials`; 403 `publish_not_allowed`, `integration_inactive`; 400 `messages_invalid`, `batch_empty`; 413
`batch_too_large`; 429 `too_many_wrong_passwords`, `quota_exceeded`, `queue_full`, `intake_stopped`, with `Retry-After`. Codes of rejected messages: those of
`mqtt_ingest` (`quota_exceeded` for those beyond the quota) and `message_invalid`, `payload_missing`, `retain_invalid`,
`message_id_invalid`, `timestamp_invalid`.$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_ingest_batch(json) TO anon, authenticated, service_role;
COMMIT;
