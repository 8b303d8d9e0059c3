-- Deploy topicbase:ingest/enqueue_batch to pg
-- requires: base/json
-- requires: ingest/enqueue_message
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.bare_messages(document json) RETURNS json
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

CREATE OR REPLACE FUNCTION mqtt.message_reasons(messages json, nul_mark text) RETURNS text []
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        array_agg(
            CASE
                WHEN strpos(e.value::text, nul_mark) > 0 THEN 'The JSON holds \u0000, which Postgres text cannot hold.'
                ELSE mqtt.json_reason(e.value, 1)
            END ORDER BY e.ordinality
        )
    FROM json_array_elements(messages) WITH ORDINALITY AS e;
END;
COMMENT ON FUNCTION mqtt.message_reasons(json, text) IS
'For each element why it cannot be stored as JSON, null where it can; for batches that hold such an element. nul_mark stands where \u0000 stood.';

CREATE OR REPLACE FUNCTION mqtt.judged_messages(messages jsonb, faults text [], prefix text, filters text [], max_bytes integer)
RETURNS TABLE (
    ordinality bigint, topic text, payload jsonb, body bytea, qos integer, retain boolean, content_type text, stamped_at timestamptz, message_id text,
    rule text, properties jsonb
)
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        t.ordinality, t.topic, t.payload, t.body, coalesce(mqtt.try_qos(t.qos), 0), coalesce(mqtt.try_boolean(t.retain), false), t.content_type, t.stamped_at, t.message_id,
        CASE
            WHEN faults[t.ordinality] = mqtt.fault_reason('payload_too_deep') THEN 'payload_too_deep'
            WHEN faults[t.ordinality] IS NOT NULL THEN 'payload_invalid'
            WHEN jsonb_typeof(t.value) <> 'object' THEN 'message_invalid'
            WHEN t.value - '{topic,payload,qos,retain,content_type,payload_encoding,message_id,timestamp,payload_format,response_topic,correlation_data,message_expiry,user_properties}'::text [] <> '{}' THEN 'message_invalid'
            WHEN jsonb_typeof(t.value -> 'topic') IS DISTINCT FROM 'string' THEN 'topic_invalid'
            WHEN t.payload IS NULL THEN 'payload_missing'
            WHEN t.encoding = 'base64' AND t.body IS NULL THEN 'payload_not_base64'
            WHEN t.encoding IS NOT NULL AND t.encoding NOT IN ('json', 'text', 'base64') THEN 'payload_encoding_invalid'
            WHEN t.encoding = 'text' AND jsonb_typeof(t.payload) <> 'string' THEN 'payload_encoding_invalid'
            WHEN octet_length(t.content_type) > 255 THEN 'content_type_invalid'
            WHEN mqtt.option_fault(t.qos, t.retain, t.message_id, t.sent_at) IS NOT NULL
                THEN mqtt.option_fault(t.qos, t.retain, t.message_id, t.sent_at)
            WHEN t.has_properties AND mqtt.properties_fault(t.value, t.body) IS NOT NULL THEN mqtt.properties_fault(t.value, t.body)
            ELSE mqtt.ingest_fault(t.topic, 0, coalesce(octet_length(t.body), pg_column_size(t.payload)), prefix, filters, max_bytes)
        END,
        CASE WHEN t.has_properties AND mqtt.properties_fault(t.value, t.body) IS NULL THEN mqtt.message_properties(t.value) END
    FROM (
        SELECT
            i.*,
            CASE WHEN i.encoding = 'base64' THEN mqtt.try_base64(i.payload #>> '{}') END AS body,
            CASE WHEN i.sent_at IS NOT NULL THEN mqtt.try_device_time(i.sent_at) END AS stamped_at
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
                e.value ->> 'timestamp' AS sent_at,
                e.value ?| '{payload_format,response_topic,correlation_data,message_expiry,user_properties}' AND jsonb_typeof(e.value) = 'object' AS has_properties
            FROM jsonb_array_elements(messages) WITH ORDINALITY AS e (value, ordinality)
            OFFSET 0
        ) AS i
        OFFSET 0
    ) AS t;
END;
COMMENT ON FUNCTION mqtt.judged_messages(jsonb, text [], text, text [], integer) IS
'The messages of an array, taken apart, each with the slug of the first rule that it breaks (null when none). faults: mqtt.message_reasons, or null. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.enqueue_batch(session mqtt.device_session, messages jsonb, faults text [], most integer) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_nestloop = off
AS $$
DECLARE
    v_answer json;
    v_is_limited CONSTANT boolean := (SELECT o.has_all_topics FROM mqtt.organizations AS o WHERE o.id = session.organization_id);
BEGIN
    WITH judged AS MATERIALIZED (
        SELECT j.*
        FROM mqtt.judged_messages(messages, enqueue_batch.faults, session.topic_prefix, session.publish_filters, session.max_payload_bytes) AS j
    ),
    checked AS (
        SELECT
            j.*,
            CASE
                WHEN j.rule IS NOT NULL THEN j.rule
                WHEN v_is_limited AND NOT mqtt.is_topic_known(session.organization_id, session.integration_id, j.topic) THEN 'topic_limit_reached'
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
        INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, credential_id, message_id, body, place)
        SELECT
            statement_timestamp() + c.ordinality * interval '1 microsecond',
            mqtt.message_document(
                c.topic, CASE WHEN c.body IS NULL THEN c.payload END, c.qos, c.retain, c.content_type, c.stamped_at, c.properties
            ),
            session.organization_id, session.integration_id, session.credential_id, c.first_id, c.body, c.ordinality
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
                    'message', coalesce(enqueue_batch.faults[c.ordinality], mqtt.fault_reason(c.fault, c.topic))
                ) ORDER BY c.ordinality
            ) FILTER (WHERE c.fault IS NOT NULL), '[]'
        )
    ) INTO v_answer
    FROM checked AS c;
    RETURN v_answer;
END;
$$;
COMMENT ON FUNCTION mqtt.enqueue_batch(mqtt.device_session, jsonb, text [], integer) IS
'Queues what is valid of an array of messages in one statement; most of them, where a quota says so; returns {"queued", "accepted", "rejected": [{"index", "code", "message"}]}, repeats being accepted but not queued. faults: mqtt.message_reasons, or null. The general way beside mqtt.enqueue_plain_batch: what that takes, this would queue the same.';

CREATE OR REPLACE FUNCTION mqtt.enqueue_plain_batch(session mqtt.device_session, messages jsonb) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_prefix CONSTANT text := session.topic_prefix;
    v_most_bytes CONSTANT integer := CASE WHEN session.publish_filters IS NULL THEN least(session.max_payload_bytes, 65535) END;
    v_queued integer;
BEGIN
    IF (SELECT o.has_all_topics FROM mqtt.organizations AS o WHERE o.id = session.organization_id) THEN
        RETURN 0;
    END IF;
    -- The array is taken apart twice, which is less work than to keep what the first time found.
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, credential_id, place)
    SELECT
        -- Due one after the other, or a worker that takes a part of them would have them in the order of their row addresses.
        statement_timestamp() + m.ordinality * interval '1 microsecond', m.value, session.organization_id, session.integration_id, session.credential_id,
        m.ordinality
    FROM jsonb_array_elements(messages) WITH ORDINALITY AS m (value, ordinality)
    WHERE NOT EXISTS (
        SELECT
        FROM (SELECT e.value, e.value ->> 'topic' AS topic FROM jsonb_array_elements(messages) AS e (value) OFFSET 0) AS t
        WHERE (
            t.topic IS NOT NULL AND t.value ? 'payload' AND t.value - '{topic,payload}'::text [] = '{}'
            AND CASE
                -- Most: neither topic nor payload is larger than both, and what is no string holds none of these characters, or no slash.
                WHEN pg_column_size(t.value) <= v_most_bytes AND mqtt.is_plain_topic(t.topic) THEN mqtt.topic_is_under(t.topic, v_prefix)
                ELSE jsonb_typeof(t.value -> 'topic') IS NOT DISTINCT FROM 'string'
                    AND mqtt.ingest_fault(
                        t.topic, 0, pg_column_size(t.value -> 'payload'), session.topic_prefix, session.publish_filters, session.max_payload_bytes
                    ) IS NULL
            END
        ) IS NOT TRUE
    );
    GET DIAGNOSTICS v_queued = ROW_COUNT;
    RETURN v_queued;
END;
$$;
COMMENT ON FUNCTION mqtt.enqueue_plain_batch(mqtt.device_session, jsonb) IS
'Queues an array of messages as they are, when each is valid and holds topic and payload alone, as most do; returns how many, or 0 when it is for mqtt.enqueue_batch, the general way, which would queue the same.';
COMMIT;
