-- Deploy topicbase:api/telemetry to pg
-- requires: api/telemetry_types
-- requires: tables/devices
-- requires: tables/packed_order
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.telemetry_metrics(payload jsonb, names text []) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN names IS NOT NULL THEN (
            SELECT jsonb_object_agg(n.name, mqtt.metric(payload, n.name)) FROM unnest(names) AS n (name) WHERE mqtt.metric(payload, n.name) IS NOT NULL
        )
        WHEN jsonb_typeof(payload) = 'object' THEN payload
        ELSE jsonb_build_object('value', payload)
    END;
END;
COMMENT ON FUNCTION mqtt.telemetry_metrics(jsonb, text []) IS
'The metrics in a payload: its members as they are, or {"value": payload} if it is not an object; or those named, by name; null if it has none of them.';

CREATE OR REPLACE FUNCTION mqtt.topics_of_devices(request mqtt.telemetry_request) RETURNS TABLE (number integer)
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT n.number
    FROM (
        SELECT u.id FROM unnest(request.device_ids) AS u (id)
        UNION ALL
        SELECT d.id
        FROM mqtt.devices AS d
        WHERE request.device_ids IS NULL
            AND (request.integration_id IS NULL OR d.integration_id = request.integration_id)
            AND (request.organization_id IS NULL OR d.organization_id = request.organization_id)
    ) AS d
    INNER JOIN mqtt.topics AS n ON n.device_id = d.id AND CASE
        WHEN request.message_types IS NULL THEN n.role = 'telemetry'
        ELSE n.message_type IS NULL OR n.message_type = ANY (request.message_types)
    END;
END;
COMMENT ON FUNCTION mqtt.topics_of_devices(mqtt.telemetry_request) IS
'Numbers of the topics that readings of the request''s devices may be of. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.telemetry_by_measured(request mqtt.telemetry_request) RETURNS SETOF mqtt.readings
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- The planner overestimates how selective the filters are, and would prefer bitmaps of whole days.
SET enable_bitmapscan = off
SET enable_sort = off
-- Compiling the plan for every partition takes longer than running it.
SET jit = off
AS $$
DECLARE
    v_has_packs CONSTANT boolean := EXISTS (SELECT FROM mqtt.packed_days) OR EXISTS (SELECT FROM mqtt.packs);
BEGIN
    RETURN QUERY
    SELECT t.*
    FROM mqtt.topics_of_devices(request) AS n
    CROSS JOIN LATERAL (
        (
            SELECT r.*
            FROM mqtt.readings AS r
            WHERE NOT r.is_packed AND r.topic_number = n.number AND r.measured_at >= request.since AND r.measured_at < request.until
                AND (request.before_at IS NULL OR (r.measured_at, r.position) < (request.before_at, request.before_position))
                AND CASE
                    WHEN request.message_types IS NULL THEN r.role = 'telemetry'
                    ELSE r.message_type IS NULL OR r.message_type = ANY (request.message_types)
                END
                AND mqtt.has_metric(r.payload, request.metrics)
            ORDER BY r.measured_at DESC, r.position DESC
            LIMIT request.most
        )
        UNION ALL
        SELECT r.*
        FROM mqtt.packed_readings_of_topic(
            n.number, request.since, request.until, request.before_at, request.before_position,
            CASE WHEN request.message_types IS NULL THEN 'telemetry' END, request.message_types, request.metrics, request.most
        ) AS r
        WHERE v_has_packs
    ) AS t
    ORDER BY t.measured_at DESC, t.position DESC
    LIMIT request.most;
END;
$$;
COMMENT ON FUNCTION mqtt.telemetry_by_measured(mqtt.telemetry_request) IS
'The readings that the request selects, by when they were measured, the newest first: those of each topic of each device, by its index, merged.';

CREATE OR REPLACE FUNCTION mqtt.telemetry_by_received(request mqtt.telemetry_request) RETURNS SETOF mqtt.readings
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- As above.
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
AS $$
DECLARE
    v_has_packs CONSTANT boolean := EXISTS (SELECT FROM mqtt.packed_days) OR EXISTS (SELECT FROM mqtt.packs);
    v_topics integer [];
BEGIN
    IF v_has_packs AND (request.device_ids IS NOT NULL OR request.integration_id IS NOT NULL) THEN
        v_topics := ARRAY(
            SELECT n.number
            FROM mqtt.topics AS n
            WHERE (request.device_ids IS NULL OR n.device_id = ANY (request.device_ids))
                AND (request.integration_id IS NULL OR n.integration_id = request.integration_id) AND n.device_id IS NOT NULL
        );
    END IF;
    RETURN QUERY
    SELECT t.*
    FROM mqtt.organizations AS o
    CROSS JOIN LATERAL (
        (
            SELECT r.*
            FROM mqtt.readings AS r
            WHERE NOT r.is_packed AND r.organization = o.number AND r.received_at >= request.since AND r.received_at < request.until
                AND (request.before_at IS NULL OR (r.received_at, r.position) < (request.before_at, request.before_position))
                AND (request.integration_id IS NULL OR r.integration_id = request.integration_id)
                AND (request.device_ids IS NULL OR r.device_id = ANY (request.device_ids))
                AND CASE
                    WHEN request.message_types IS NULL THEN r.role = 'telemetry'
                    ELSE r.message_type IS NULL OR r.message_type = ANY (request.message_types)
                END
                AND mqtt.has_metric(r.payload, request.metrics)
            ORDER BY r.received_at DESC, r.position DESC
            LIMIT request.most
        )
        UNION ALL
        SELECT r.*
        FROM mqtt.packed_readings_received(
            o.number, v_topics, request.since, request.until, request.before_at, request.before_position,
            CASE WHEN request.message_types IS NULL THEN 'telemetry' END, request.message_types, request.metrics, request.most
        ) AS r
        WHERE v_has_packs
    ) AS t
    WHERE (request.organization_id IS NULL OR o.id = request.organization_id) AND (
        request.integration_id IS NULL
        OR o.id = (SELECT i.organization_id FROM mqtt.device_integrations AS i WHERE i.id = request.integration_id)
    )
    ORDER BY t.received_at DESC, t.position DESC
    LIMIT request.most;
END;
$$;
COMMENT ON FUNCTION mqtt.telemetry_by_received(mqtt.telemetry_request) IS
'The readings that the request selects, by when they were received, the newest first: those of each organization, by the index of time, merged.';

CREATE OR REPLACE FUNCTION mqtt.newest_since(request mqtt.telemetry_request, message_count integer) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
-- As above.
SET enable_bitmapscan = off
SET enable_seqscan = off
SET enable_sort = off
SET jit = off
AS $$
BEGIN
    IF request.by_received THEN
        RETURN (
            SELECT max(x.at)
            FROM mqtt.organizations AS o
            CROSS JOIN LATERAL (
                SELECT h.received_at AS at
                FROM mqtt.history AS h
                WHERE h.organization = o.number AND h.received_at >= request.since AND h.received_at < request.until
                ORDER BY h.received_at DESC
                OFFSET message_count - 1 LIMIT 1
            ) AS x
            WHERE request.organization_id IS NULL OR o.id = request.organization_id
        );
    END IF;
    RETURN (
        SELECT max(x.at)
        FROM mqtt.topics_of_devices(request) AS n
        CROSS JOIN LATERAL (
            SELECT h.measured_at AS at
            FROM mqtt.history AS h
            WHERE h.topic = n.number AND h.measured_at >= request.since AND h.measured_at < request.until
            ORDER BY h.measured_at DESC
            OFFSET message_count - 1 LIMIT 1
        ) AS x
    );
END;
$$;
COMMENT ON FUNCTION mqtt.newest_since(mqtt.telemetry_request, integer) IS
'Since when one of the topics (by receipt: one of the organizations) of a request has that many messages, counted from the newest; null if none has. By the indexes alone.';

CREATE OR REPLACE FUNCTION mqtt.telemetry(request mqtt.telemetry_request) RETURNS SETOF mqtt.readings
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_found record;
    v_since timestamptz := request.since;
    v_number integer := request.most;
    v_count integer;
BEGIN
    IF request.device_ids IS NULL AND request.most IS NOT NULL AND NOT request.by_received THEN
        -- As many as that were measured since then, so the newest were, too: of each of many devices only these need be read.
        request.by_received := true;
        SELECT count(*) AS n, min(t.measured_at) AS since INTO v_found
        FROM mqtt.telemetry(request) AS t
        WHERE t.measured_at >= request.since AND t.measured_at < request.until
            AND (request.before_at IS NULL OR (t.measured_at, t.position) < (request.before_at, request.before_position));
        request.by_received := false;
        IF v_found.n = request.most THEN
            v_since := v_found.since;
            v_number := NULL;
        END IF;
    END IF;
    request.until := least(request.until, request.before_at + interval '1 microsecond');
    -- From the newest on, in parts in which there are about enough: a part is sorted as a whole, as no order comes through the view of readings.
    LOOP
        request.since := v_since;
        request.since := greatest(v_since, CASE WHEN v_number IS NOT NULL THEN mqtt.newest_since(request, v_number) END);
        IF request.by_received THEN
            RETURN QUERY SELECT t.* FROM mqtt.telemetry_by_received(request) AS t;
        ELSE
            RETURN QUERY SELECT t.* FROM mqtt.telemetry_by_measured(request) AS t;
        END IF;
        GET DIAGNOSTICS v_count = ROW_COUNT;
        request.most := request.most - v_count;
        EXIT WHEN request.since <= v_since OR request.most <= 0;
        request.until := request.since;
        v_number := least(v_number, 100000000) * 4;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.telemetry(mqtt.telemetry_request) IS 'The readings that the request selects among those that the caller sees, the newest first.';
GRANT EXECUTE ON FUNCTION mqtt.telemetry_metrics(jsonb, text []), mqtt.telemetry_by_measured(mqtt.telemetry_request),
mqtt.telemetry_by_received(mqtt.telemetry_request), mqtt.topics_of_devices(mqtt.telemetry_request), mqtt.newest_since(mqtt.telemetry_request, integer),
mqtt.telemetry(mqtt.telemetry_request) TO authenticated, service_role;
COMMIT;
