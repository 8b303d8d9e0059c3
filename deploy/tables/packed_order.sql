-- Deploy topicbase:tables/packed_order to pg
-- requires: tables/readings
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.packed_edge(
    organizations integer [], topics integer [], since timestamptz, until timestamptz, is_oldest_first boolean, most integer
) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- So that the order, which depends on an argument, is that of an index.
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM mqtt.packed_days) AND NOT EXISTS (SELECT FROM mqtt.packs) THEN
        RETURN NULL;
    END IF;
    RETURN (
        WITH near AS (
            SELECT p.first_received_at, p.last_received_at, p.message_count
            FROM unnest(organizations) AS o (number)
            CROSS JOIN LATERAL (
                SELECT x.*
                FROM mqtt.packs AS x
                WHERE x.organization = o.number AND x.last_received_at >= packed_edge.since AND x.first_received_at < packed_edge.until
                ORDER BY CASE WHEN is_oldest_first THEN x.last_received_at END, CASE WHEN NOT is_oldest_first THEN x.last_received_at END DESC
                LIMIT most
            ) AS p
            WHERE topics IS NULL
            UNION ALL
            SELECT p.first_received_at, p.last_received_at, p.message_count
            FROM unnest(topics) AS t (number)
            CROSS JOIN LATERAL (
                SELECT x.*
                FROM mqtt.packs AS x
                WHERE x.topic = t.number AND x.last_received_at >= packed_edge.since AND x.first_received_at < packed_edge.until
                ORDER BY CASE WHEN is_oldest_first THEN x.last_received_at END, CASE WHEN NOT is_oldest_first THEN x.last_received_at END DESC
                LIMIT least(most, 100)
            ) AS p
        ),
        -- Going from one end: a pack's nearer end is one message, its farther end is all of them.
        steps AS (
            SELECT
                CASE
                    WHEN is_oldest_first THEN s.at
                    ELSE least(s.at, packed_edge.until - greatest((n.last_received_at - n.first_received_at) / n.message_count, '1 millisecond'))
                END AS at, s.messages
            FROM near AS n
            CROSS JOIN LATERAL (
                VALUES (n.last_received_at, CASE WHEN is_oldest_first THEN n.message_count - 1 ELSE 1 END),
                (n.first_received_at, CASE WHEN is_oldest_first THEN 1 ELSE n.message_count - 1 END)
            ) AS s (at, messages)
            WHERE s.at >= packed_edge.since OR NOT is_oldest_first
        )
        SELECT CASE
            WHEN is_oldest_first THEN coalesce(min(c.at) FILTER (WHERE c.forward >= most), max(c.at))
            ELSE coalesce(max(c.at) FILTER (WHERE c.backward >= most), min(c.at))
        END
        FROM (SELECT s.at, sum(s.messages) OVER (ORDER BY s.at) AS forward, sum(s.messages) OVER (ORDER BY s.at DESC) AS backward FROM steps AS s) AS c
    );
END;
$$;
COMMENT ON FUNCTION mqtt.packed_edge(integer [], integer [], timestamptz, timestamptz, boolean, integer) IS
'Where a reader stops, going through the packed messages of organizations (or of topics) from one end of a range, after about so many of them; null if none of the range are packed. From the newest on it is before until, from the oldest on not before since.';

CREATE OR REPLACE FUNCTION mqtt.packed_readings_of_topic(
    topic integer, since timestamptz, until timestamptz, before_at timestamptz, before_position bigint, role text, message_types text [],
    metrics text [], most integer
) RETURNS SETOF mqtt.readings
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_pack record;
    v_found mqtt.readings [] := '{}';
BEGIN
    IF most IS NULL THEN
        RETURN QUERY
        SELECT r.*
        FROM mqtt.readings AS r
        WHERE r.is_packed AND r.topic_number = packed_readings_of_topic.topic AND r.last_measured_at >= since AND r.first_measured_at < until
            AND r.measured_at >= since AND r.measured_at < until
            AND (before_at IS NULL OR (r.measured_at, r.position) < (before_at, before_position))
            AND (packed_readings_of_topic.role IS NULL OR r.role = packed_readings_of_topic.role)
            AND (message_types IS NULL OR r.message_type IS NULL OR r.message_type = ANY (message_types))
            AND mqtt.has_metric(r.payload, metrics);
        RETURN;
    END IF;
    FOR v_pack IN
        SELECT p.number, p.last_measured_at
        FROM mqtt.packs AS p
        WHERE p.topic = packed_readings_of_topic.topic AND p.last_measured_at >= since AND p.first_measured_at < until
            AND (before_at IS NULL OR p.first_measured_at <= before_at)
        ORDER BY p.last_measured_at DESC
    LOOP
        EXIT WHEN (SELECT count(*) >= most FROM unnest(v_found) AS f WHERE f.measured_at > v_pack.last_measured_at);
        v_found := v_found || ARRAY(
            SELECT r
            FROM mqtt.readings AS r
            WHERE r.is_packed AND r.pack = v_pack.number AND r.measured_at >= since AND r.measured_at < until
                AND (before_at IS NULL OR (r.measured_at, r.position) < (before_at, before_position))
                AND (packed_readings_of_topic.role IS NULL OR r.role = packed_readings_of_topic.role)
                AND (message_types IS NULL OR r.message_type IS NULL OR r.message_type = ANY (message_types))
                AND mqtt.has_metric(r.payload, metrics)
        );
    END LOOP;
    RETURN QUERY SELECT f.* FROM unnest(v_found) AS f ORDER BY f.measured_at DESC, f.position DESC LIMIT most;
END;
$$;
COMMENT ON FUNCTION mqtt.packed_readings_of_topic(integer, timestamptz, timestamptz, timestamptz, bigint, text, text [], text [], integer) IS
'The newest readings of a topic that are packed, by when they were measured: opens packs from the newest on until those that are left have none that is newer. All of them, in no order, where most is null.';

CREATE OR REPLACE FUNCTION mqtt.packed_readings_received(
    organization integer, topics integer [], since timestamptz, until timestamptz, before_at timestamptz, before_position bigint, role text,
    message_types text [], metrics text [], most integer
) RETURNS SETOF mqtt.readings
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_until timestamptz := least(until, before_at + interval '1 microsecond');
    v_from timestamptz;
    v_step integer := most;
    v_missing integer := most;
    v_found integer;
BEGIN
    LOOP
        v_from := mqtt.packed_edge(ARRAY[organization], topics, since, v_until, false, coalesce(v_step, 1));
        EXIT WHEN v_from IS NULL;
        v_from := CASE WHEN most IS NULL THEN since ELSE greatest(v_from, since) END;
        RETURN QUERY
        SELECT r.*
        FROM mqtt.readings AS r
        WHERE r.is_packed AND r.organization = packed_readings_received.organization AND r.last_received_at >= v_from AND r.first_received_at < v_until
            AND r.received_at >= v_from AND r.received_at < v_until AND (topics IS NULL OR r.topic_number = ANY (topics))
            AND (before_at IS NULL OR (r.received_at, r.position) < (before_at, before_position))
            AND (packed_readings_received.role IS NULL OR r.role = packed_readings_received.role)
            AND (message_types IS NULL OR r.message_type IS NULL OR r.message_type = ANY (message_types))
            AND mqtt.has_metric(r.payload, metrics)
        ORDER BY r.received_at DESC, r.position DESC
        LIMIT v_missing;
        GET DIAGNOSTICS v_found = ROW_COUNT;
        v_missing := v_missing - v_found;
        EXIT WHEN v_missing <= 0 OR v_from <= since;
        v_until := v_from;
        v_step := least(v_step * 4, 100000);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.packed_readings_received(
    integer, integer [], timestamptz, timestamptz, timestamptz, bigint, text, text [], text [], integer
) IS 'The newest readings of an organization that are packed, by when they were received, from step to step until there are enough.';
GRANT EXECUTE ON FUNCTION mqtt.packed_edge(integer [], integer [], timestamptz, timestamptz, boolean, integer),
mqtt.packed_readings_of_topic(integer, timestamptz, timestamptz, timestamptz, bigint, text, text [], text [], integer),
mqtt.packed_readings_received(integer, integer [], timestamptz, timestamptz, timestamptz, bigint, text, text [], text [], integer)
TO authenticated, service_role;
COMMIT;
