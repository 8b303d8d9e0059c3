-- Deploy topicbase:api/stream_messages to pg
-- requires: process/device_data
-- requires: tables/settled_messages
-- requires: tables/stream_cursors
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.stream_message(message mqtt.history, topic mqtt.topics, external_id text) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT json_build_object(
        'type', 'mqtt.message',
        'id', (message).id,
        'organization_id', (topic).organization_id,
        'integration_id', (topic).integration_id,
        'device_id', external_id,
        'direction', CASE WHEN (message).flags & 8 = 8 THEN 'outgoing' ELSE 'incoming' END,
        'topic', (topic).topic,
        'message_type', (topic).message_type,
        'payload', CASE WHEN (message).body IS NULL THEN (message).payload ELSE to_jsonb(translate(encode((message).body, 'base64'), E'\n', '')) END,
        'payload_encoding', CASE WHEN (message).body IS NULL THEN 'json' ELSE 'base64' END,
        'content_type', (message).content_type,
        'qos', (message).flags & 3,
        'retain', (message).flags & 4 = 4,
        'properties', (message).properties,
        'sent_at', CASE WHEN (message).flags & 32 = 32 THEN (message).measured_at ELSE (message).sent_at END,
        'received_at', (message).received_at,
        'measured_at', (message).measured_at,
        'decode_error', (message).decode_error,
        'external_id', external_id
    )::text;
END;
COMMENT ON FUNCTION mqtt.stream_message(mqtt.history, mqtt.topics, text) IS
'A message as the live stream shows it: as in mqtt.callback_bodies, without what belongs to a subscription, with its direction.';

CREATE OR REPLACE FUNCTION mqtt.stream_readings(message mqtt.history, external_id text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT json_agg(json_build_object('deviceId', external_id, 'metrics', m.metrics, 'timestamp', r.measured_at) ORDER BY r.measured_at, r.position)::text
        FROM (
            SELECT
                (message).measured_at, (message).position,
                mqtt.data_of_payload((message).payload, CASE WHEN (message).flags & 32 = 32 THEN (message).measured_at ELSE (message).sent_at END) AS payload
            WHERE (message).flags & 64 = 0 AND (message).body IS NULL AND (message).payload <> 'null'
            UNION ALL
            SELECT x.measured_at, x.position, x.payload
            FROM mqtt.reading_rows AS x
            WHERE (message).flags & 64 = 64 AND x.organization = (message).organization AND x.received_at = (message).received_at
                AND x.message_id = (message).id
        ) AS r
        CROSS JOIN LATERAL (SELECT jsonb_object_agg(p.metric, p.value) AS metrics FROM mqtt.payload_metrics(r.payload) AS p) AS m
        WHERE m.metrics IS NOT NULL
    );
END;
$$;
COMMENT ON FUNCTION mqtt.stream_readings(mqtt.history, text) IS 'What a message says of its device, as an array of rows as api.query_telemetry has them; null if that is nothing.';

CREATE OR REPLACE FUNCTION mqtt.payload_bytes(payload jsonb, body bytea) RETURNS bigint
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- The path makes a copy of what is compressed. STABLE as pg_column_size is, or it is a call of its own.
    SELECT CASE
        WHEN payload IS NULL THEN 0
        WHEN pg_column_compression(payload) IS NULL THEN pg_column_size(payload)
        ELSE pg_column_size(jsonb_path_query_first(payload, '$'))
    END + coalesce(octet_length(body), 0);
END;
COMMENT ON FUNCTION mqtt.payload_bytes(jsonb, bytea) IS 'Bytes of a payload or body that are not compressed. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.stream_messages(
    organizations integer [], from_incoming bigint [], from_outgoing bigint [], incoming_places integer [], outgoing_places integer [], ignored integer [],
    topic_filter text, device uuid, integrations uuid [], has_readings boolean, most integer
) RETURNS TABLE (
    organization integer, topic integer, is_outgoing boolean, incoming bigint, outgoing bigint, incoming_place integer, outgoing_place integer,
    is_missing boolean, cursor text, message text, readings text, lag double precision, read_count integer
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_mergejoin = off
SET jit = off
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH settled AS MATERIALIZED (
        SELECT
            s.organization, s.is_outgoing, s.incoming, s.outgoing, s.incoming_place, s.outgoing_place, s.settled_at, s.is_missing, s.message,
            row_number() OVER w AS n, count(*) OVER (PARTITION BY s.organization) AS settled_count,
            sum(mqtt.payload_bytes((s.message).payload, (s.message).body)) OVER w AS bytes,
            mqtt.payload_bytes((s.message).payload, (s.message).body) AS own_bytes
        FROM mqtt.settled_messages(ARRAY(
            SELECT ROW(p.*)::mqtt.stream_position
            FROM unnest(
                stream_messages.organizations, stream_messages.from_incoming, stream_messages.from_outgoing, stream_messages.incoming_places,
                stream_messages.outgoing_places
            ) AS p
        ), most) AS s
        WINDOW w AS (PARTITION BY s.organization ORDER BY s.is_outgoing, s.number, s.place)
    ),
    counted AS (
        SELECT s.*, s.n = s.settled_count OR s.bytes >= 2097152 AS is_last FROM settled AS s WHERE s.bytes - s.own_bytes < 2097152
    )
    SELECT
        s.organization, t.number, s.is_outgoing, s.incoming, s.outgoing, s.incoming_place, s.outgoing_place, s.is_missing,
        CASE
            WHEN t.number IS NOT NULL
                THEN mqtt.stream_cursor(s.organization, s.incoming, s.outgoing, s.incoming_place, s.outgoing_place, s.settled_at)
        END,
        CASE WHEN t.number IS NOT NULL THEN mqtt.stream_message(s.message, t, d.external_id) END,
        CASE
            WHEN stream_messages.has_readings AND NOT s.is_outgoing AND t.role NOT IN ('command', 'ignore') AND d.external_id IS NOT NULL
                THEN mqtt.stream_readings(s.message, d.external_id)
        END,
        CASE WHEN s.is_last THEN extract(EPOCH FROM clock_timestamp() - s.settled_at)::double precision END,
        CASE WHEN s.is_last AND s.n < s.settled_count THEN s.n::integer END
    FROM counted AS s
    CROSS JOIN mqtt.topic_filter_levels(stream_messages.topic_filter) AS l
    LEFT JOIN mqtt.topics AS t
        ON t.number = (s.message).topic AND (stream_messages.topic_filter IS NULL OR mqtt.matched_levels(t.topic, l.topic_like, l.topic_levels) IS NOT NULL)
            AND (stream_messages.device IS NULL OR t.device_id = stream_messages.device)
            AND (t.integration_id = ANY (stream_messages.integrations)) IS NOT FALSE
            AND NOT EXISTS (SELECT FROM unnest(stream_messages.ignored) AS i (number) WHERE i.number = (s.message).topic)
    LEFT JOIN mqtt.devices AS d ON d.organization_id = t.organization_id AND d.id = t.device_id
    WHERE t.number IS NOT NULL OR s.is_last OR s.is_missing
    ORDER BY s.organization, s.n;
END;
$$;
COMMENT ON FUNCTION mqtt.stream_messages(integer [], bigint [], bigint [], integer [], integer [], integer [], text, uuid, uuid [], boolean, integer) IS
'What a process of the live stream sends next: after a position in each organization, at most so many messages in each direction and about 2 MiB of payloads, those of topics that are not ignored, match the filter and are the device''s and one of the integrations'', with cursor and, if wanted, readings. The last row of an organization says how far it has been read, though topic and message may be null, how long ago that was settled, and how many were read, if there are more of those asked for: bytes were too many.';

CREATE OR REPLACE FUNCTION mqtt.stream_routes(
    topics integer [], channels integer [], organizations integer [], topic_filters text [], devices uuid [], integrations text []
)
RETURNS TABLE (topic integer, channels integer [])
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.number, array_agg(c.channel)
    FROM unnest(channels, organizations, topic_filters, devices, integrations) AS c (channel, organization, topic_filter, device, integrations)
    CROSS JOIN LATERAL mqtt.topic_filter_levels(c.topic_filter) AS l
    JOIN mqtt.organizations AS o ON o.number = c.organization
    JOIN mqtt.topics AS t ON t.number = ANY (topics) AND t.organization_id = o.id
    WHERE (c.topic_filter IS NULL OR mqtt.matched_levels(t.topic, l.topic_like, l.topic_levels) IS NOT NULL) AND (c.device IS NULL OR t.device_id = c.device)
        AND (t.integration_id = ANY (c.integrations::uuid [])) IS NOT FALSE
    GROUP BY t.number;
$$;
COMMENT ON FUNCTION mqtt.stream_routes(integer [], integer [], integer [], text [], uuid [], text []) IS
'Which of these channels (an organization, a topic filter, a device, an array of integrations as text) the messages of these topics go to.';
GRANT EXECUTE ON FUNCTION mqtt.stream_messages(integer [], bigint [], bigint [], integer [], integer [], integer [], text, uuid, uuid [], boolean, integer),
mqtt.stream_routes(integer [], integer [], integer [], text [], uuid [], text []) TO topicbase_stream;
COMMIT;
