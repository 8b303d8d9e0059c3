-- Deploy topicbase:api/telemetry_parts to pg
-- requires: api/rolled_parts
-- requires: api/telemetry
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.telemetry_numbers(request mqtt.telemetry_request)
RETURNS TABLE (organization_id uuid, device_id uuid, metric text, at timestamptz, "position" bigint, value numeric)  -- noqa: RF06
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT v.organization_id, v.device_id, v.metric, v.at, v.position, v.value
    FROM (
        SELECT
            r.organization_id, r.device_id, e.metric, CASE WHEN request.by_received THEN r.received_at ELSE r.measured_at END AS at, r.position,
            mqtt.metric_number(e.value) AS value
        FROM mqtt.telemetry(request) AS r
        CROSS JOIN LATERAL mqtt.metric_values(r.payload, request.metrics) AS e
        OFFSET 0
    ) AS v
    WHERE v.value IS NOT NULL;
END;
COMMENT ON FUNCTION mqtt.telemetry_numbers(mqtt.telemetry_request) IS 'The numbers of mqtt.telemetry, each with its metric and the time by which it was asked for.';

CREATE OR REPLACE FUNCTION mqtt.received_parts(request mqtt.telemetry_request, bucket interval, time_zone text) RETURNS SETOF mqtt.rollup_part
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
    RETURN QUERY
    SELECT
        x.organization_id, x.device_id, x.metric, x.starts_at, count(*), sum(x.value), min(x.value), max(x.value),
        max(x.value) FILTER (WHERE x.previous IS NULL), min(x.at), max(x.value) FILTER (WHERE x.following IS NULL), max(x.at),
        sum(mqtt.counter_step(x.previous, x.value))
    FROM (
        SELECT v.*, lag(v.value) OVER w AS previous, lead(v.value) OVER w AS following
        FROM (SELECT t.*, mqtt.bucket_start(t.at, bucket, time_zone) AS starts_at FROM mqtt.telemetry_numbers(request) AS t) AS v
        WINDOW w AS (PARTITION BY v.device_id, v.metric, v.starts_at ORDER BY v.at, v.position)
    ) AS x
    GROUP BY x.organization_id, x.device_id, x.metric, x.starts_at;
END;
$$;
COMMENT ON FUNCTION mqtt.received_parts(mqtt.telemetry_request, interval, text) IS
'The numbers of mqtt.telemetry, summarized by device, metric and bucket: the way for what rollups do not serve, other message types and times of receipt.';

CREATE OR REPLACE FUNCTION mqtt.unrolled_parts(spans mqtt.rolled_span [], late mqtt.reading_span [], names text [], bucket interval, time_zone text)
RETURNS SETOF mqtt.rollup_part
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_whole mqtt.reading_span [] := ARRAY(
        SELECT ROW(s.organization_id, s.device_id, s.since, s.until, NULL, NULL)::mqtt.reading_span
        FROM unnest(spans) AS s
        WHERE s.has_unrolled AND s.since IS NOT NULL
    );
    v_late mqtt.reading_span [] := ARRAY(
        SELECT ROW(l.*)::mqtt.reading_span FROM unnest(late) AS l WHERE l.device_id IN (SELECT w.device_id FROM unnest(v_whole) AS w)
    );
BEGIN
    RETURN QUERY
    SELECT p.*
    FROM mqtt.reading_parts(v_whole, names, bucket, time_zone) AS p
    LEFT JOIN mqtt.rollup_series AS s ON s.organization_id = p.organization_id AND s.device_id = p.device_id AND s.metric = p.metric AND s.is_rolled
    WHERE s.id IS NULL
    UNION ALL
    SELECT p.*
    FROM mqtt.reading_parts(v_late, names, bucket, time_zone) AS p
    JOIN mqtt.rollup_series AS s ON s.organization_id = p.organization_id AND s.device_id = p.device_id AND s.metric = p.metric AND s.is_rolled;
END;
$$;
COMMENT ON FUNCTION mqtt.unrolled_parts(mqtt.rolled_span [], mqtt.reading_span [], text [], interval, text) IS
'Of devices whose metrics are not all rolled up, the others for as far as rollups serve these, and the late readings of these: a part of mqtt.telemetry_parts.';

CREATE OR REPLACE FUNCTION mqtt.telemetry_parts(request mqtt.telemetry_request, bucket interval, time_zone text, is_ordered boolean)
RETURNS SETOF mqtt.rollup_part
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_grain CONSTANT interval := mqtt.bucket_grain(bucket, time_zone, request.since, request.until);
    -- Up to an hour, no time zone need be asked of each reading.
    v_bucket CONSTANT interval := CASE WHEN v_grain IS NULL THEN bucket ELSE least(v_grain, '1 hour') END;
    v_time_zone CONSTANT text := CASE WHEN v_grain IS NULL THEN time_zone ELSE 'UTC' END;
    v_spans mqtt.rolled_span [];
    v_late mqtt.reading_span [];
    v_raw mqtt.reading_span [];
    v_unrolled uuid [];
BEGIN
    IF request.by_received OR request.message_types IS NOT NULL THEN
        RETURN QUERY SELECT p.* FROM mqtt.received_parts(request, bucket, time_zone) AS p;
        RETURN;
    END IF;
    v_spans := mqtt.rolled_spans(request, v_grain);
    v_late := mqtt.late_spans(v_spans, is_ordered);
    v_unrolled := ARRAY(SELECT s.device_id FROM unnest(v_spans) AS s WHERE s.has_unrolled AND s.since IS NOT NULL);
    RETURN QUERY SELECT p.* FROM mqtt.rolled_parts(v_spans, v_late, request.metrics) AS p;
    v_raw := ARRAY(
        SELECT ROW(s.organization_id, s.device_id, e.since, e.until, NULL, NULL)::mqtt.reading_span
        FROM unnest(v_spans) AS s
        CROSS JOIN LATERAL (VALUES (request.since, coalesce(s.since, request.until)), (s.until, request.until)) AS e (since, until)
        WHERE e.since < e.until
        UNION ALL
        SELECT ROW(l.*)::mqtt.reading_span FROM unnest(v_late) AS l WHERE l.device_id <> ALL (v_unrolled)
    );
    IF is_ordered THEN
        RETURN QUERY SELECT p.* FROM mqtt.reading_parts(v_raw, request.metrics, v_bucket, v_time_zone) AS p;
    ELSE
        RETURN QUERY SELECT p.* FROM mqtt.unordered_parts(v_raw, request.metrics, v_bucket, v_time_zone) AS p;
    END IF;
    IF v_unrolled <> '{}' THEN
        RETURN QUERY SELECT p.* FROM mqtt.unrolled_parts(v_spans, v_late, request.metrics, v_bucket, v_time_zone) AS p;
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.telemetry_parts(mqtt.telemetry_request, interval, text, boolean) IS
'The numbers of telemetry in parts that lie each in one bucket: rollups where they serve, and the history for the rest. With is_ordered false, first_value, last_value and delta may be missing.';
GRANT EXECUTE ON FUNCTION mqtt.telemetry_numbers(mqtt.telemetry_request), mqtt.received_parts(mqtt.telemetry_request, interval, text),
mqtt.unrolled_parts(mqtt.rolled_span [], mqtt.reading_span [], text [], interval, text),
mqtt.telemetry_parts(mqtt.telemetry_request, interval, text, boolean) TO authenticated, service_role;
COMMIT;
