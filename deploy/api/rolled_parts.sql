-- Deploy topicbase:api/rolled_parts to pg
-- requires: api/telemetry_types
-- requires: tables/reading_parts
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.bucket_grain(bucket interval, time_zone text, since timestamptz, until timestamptz) RETURNS interval
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN x.step % 86400 = 0 THEN interval '1 day'
        WHEN x.step % 3600 = 0 THEN interval '1 hour'
        WHEN x.step % 60 = 0 THEN interval '1 minute'
    END
    FROM (
        -- The number of seconds that divides the length of a bucket, and how far the clock of the zone is from UTC: months are whole days.
        SELECT CASE
            WHEN time_zone = 'UTC' THEN b.seconds
            ELSE gcd(b.seconds, (
                SELECT bool_or(o.seconds % 3600 <> 0)::integer * 60 + bool_and(o.seconds % 3600 = 0)::integer * CASE WHEN bool_and(o.seconds = 0) THEN 86400 ELSE 3600 END
                FROM (
                    SELECT extract(EPOCH FROM (t.at AT TIME ZONE time_zone) - (t.at AT TIME ZONE 'UTC'))::bigint AS seconds
                    -- The clock is put forward for a month at least; up to an hour, buckets go by elapsed time since 2000-01-03.
                    FROM generate_series(
                        CASE WHEN bucket <= '1 hour' THEN '2000-01-03' ELSE greatest(since, '2000-01-01') END,
                        CASE WHEN bucket <= '1 hour' THEN '2000-01-03' ELSE least(until, now() + interval '400 days') + interval '14 days' END, '14 days'
                    ) AS t (at)
                ) AS o
            ))
        END AS step
        FROM (
            SELECT CASE
                WHEN bucket >= '28 days' AND extract(YEAR FROM bucket) * 12 + extract(MONTH FROM bucket) > 0 THEN 86400
                WHEN extract(EPOCH FROM bucket) % 1 = 0 THEN extract(EPOCH FROM bucket)
                ELSE 1
            END::bigint AS seconds
        ) AS b
    ) AS x;
END;
COMMENT ON FUNCTION mqtt.bucket_grain(interval, text, timestamptz, timestamptz) IS
'The longest of a UTC day, hour and minute of which buckets in this range are made up; null if they are not made up of minutes.';

CREATE OR REPLACE FUNCTION mqtt.rolled_spans(request mqtt.telemetry_request, grain interval) RETURNS mqtt.rolled_span []
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET plan_cache_mode = force_generic_plan
AS $$
    SELECT array_agg(ROW(
        d.organization_id, d.id, s.since, CASE WHEN h.has_hours THEN h.hours_since ELSE s.until END, CASE WHEN h.has_hours THEN h.hours_until ELSE s.until END,
        s.until, y.days_since, y.days_until, p.raw_since + (SELECT greatest(c.max_time_ahead, '1 day') FROM mqtt.configuration AS c),
        EXISTS (SELECT FROM mqtt.rollup_series AS u WHERE u.organization_id = d.organization_id AND u.device_id = d.id AND NOT u.is_rolled)
    )::mqtt.rolled_span)
    FROM mqtt.devices AS d
    LEFT JOIN mqtt.rollup_progress AS p ON p.organization_id = d.organization_id
    CROSS JOIN LATERAL (SELECT coalesce(mqtt.device_rolled_until(p, d.id), '-infinity') AS at) AS r
    CROSS JOIN LATERAL (
        -- The end that has been rolled up is inside its minute or hour, as nothing of this is there after it.
        SELECT
            greatest(date_trunc('minute', request.since + interval '1 minute' - interval '1 microsecond'), p.hours_since, p.minutes_since) AS since,
            CASE WHEN request.until >= r.at THEN r.at ELSE date_trunc('minute', request.until) END AS until,
            greatest(date_trunc('hour', request.since + interval '1 hour' - interval '1 microsecond'), p.hours_since) AS hours_since,
            CASE WHEN request.until >= r.at THEN r.at ELSE date_trunc('hour', request.until) END AS hours_until
    ) AS m
    CROSS JOIN LATERAL (
        SELECT m.hours_since, m.hours_until, coalesce(grain >= '1 hour' AND m.hours_since < m.hours_until, false) AS has_hours
    ) AS h
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN h.has_hours THEN least(m.hours_since, m.since)
                WHEN grain IS NOT NULL AND m.since < m.until THEN m.since
            END AS since,
            CASE
                WHEN h.has_hours THEN CASE WHEN m.since <= h.hours_until THEN greatest(m.until, h.hours_until) ELSE h.hours_until END
                WHEN grain IS NOT NULL AND m.since < m.until THEN m.until
            END AS until
    ) AS s
    CROSS JOIN LATERAL (
        SELECT date_trunc('day', h.hours_since + interval '1 day' - interval '1 microsecond') AS days_since, date_trunc('day', h.hours_until) AS days_until
        WHERE h.has_hours AND grain = '1 day'
        UNION ALL
        SELECT NULL, NULL
        WHERE NOT (h.has_hours AND grain = '1 day')
    ) AS y
    WHERE CASE WHEN request.device_ids IS NOT NULL THEN d.id = ANY (request.device_ids) ELSE true END
        AND (request.integration_id IS NULL OR d.integration_id = request.integration_id)
        AND (request.organization_id IS NULL OR d.organization_id = request.organization_id);
$$;
COMMENT ON FUNCTION mqtt.rolled_spans(mqtt.telemetry_request, interval) IS 'For each device of the request what rollups of that grain serve; since is null where they serve nothing.';

CREATE OR REPLACE FUNCTION mqtt.rolled_parts(spans mqtt.rolled_span [], late mqtt.reading_span [], names text []) RETURNS SETOF mqtt.rollup_part
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    -- As mqtt.is_named, which is called, not inlined, for each metric.
    v_below CONSTANT text [] := ARRAY(SELECT n.name || '.' FROM unnest(names) AS n (name));
BEGIN
    RETURN QUERY
    WITH remade AS MATERIALIZED (
        SELECT l.device_id, date_trunc('hour', l.since) AS hour FROM unnest(late) AS l WHERE l.kept IS NULL
    ),
    series AS MATERIALIZED (
        SELECT c.*, s.id, s.metric
        FROM unnest(spans) AS c
        JOIN mqtt.rollup_series AS s ON s.organization_id = c.organization_id AND s.device_id = c.device_id
        WHERE s.is_rolled AND c.since IS NOT NULL AND (names IS NULL OR s.metric = ANY (names) OR s.metric ^@ ANY (v_below))
    )
    SELECT
        s.organization_id, s.device_id, s.metric, r.starts_at, r.n, r.total, r.lowest, r.highest, r.first_value, r.first_at, r.last_value, r.last_at, r.delta
    FROM series AS s
    JOIN mqtt.rollups AS r ON r.organization_id = s.organization_id AND r.series_id = s.id
        AND r.hours = 1 AND r.starts_at >= s.hours_since AND r.starts_at < s.hours_until
    WHERE NOT EXISTS (SELECT FROM remade AS x WHERE x.device_id = s.device_id AND x.hour = r.starts_at)
        AND (
            (r.starts_at >= s.days_since AND r.starts_at < s.days_until) IS NOT TRUE
            OR EXISTS (SELECT FROM remade AS x WHERE x.device_id = s.device_id AND date_trunc('day', x.hour) = date_trunc('day', r.starts_at))
        )
    UNION ALL
    SELECT
        s.organization_id, s.device_id, s.metric, r.starts_at, r.n, r.total, r.lowest, r.highest, r.first_value, r.first_at, r.last_value, r.last_at, r.delta
    FROM series AS s
    JOIN mqtt.rollups AS r ON r.organization_id = s.organization_id AND r.series_id = s.id
        AND r.hours = 24 AND r.starts_at >= s.days_since AND r.starts_at < s.days_until
    WHERE NOT EXISTS (SELECT FROM remade AS x WHERE x.device_id = s.device_id AND date_trunc('day', x.hour) = r.starts_at)
    UNION ALL
    SELECT
        s.organization_id, s.device_id, s.metric, t.at, coalesce(u.n, 1), u.total, coalesce(u.low, u.total), coalesce(u.high, u.total),
        coalesce(u.first, u.total), t.at, coalesce(u.last, u.total), t.at, coalesce(u.delta, 0)
    FROM series AS s
    CROSS JOIN LATERAL (
        VALUES (s.since, s.hours_since, date_trunc('hour', s.since)), (s.hours_until, s.until, date_trunc('hour', s.hours_until))
    ) AS w (since, until, hour)
    -- Apart, so that the index is entered by all of its columns.
    CROSS JOIN LATERAL (
        SELECT x.*
        FROM mqtt.rollup_minutes AS x
        WHERE w.since < w.until AND x.organization_id = s.organization_id AND x.series_id = s.id AND x.starts_at >= w.hour AND x.starts_at < w.until
        OFFSET 0
    ) AS m
    CROSS JOIN LATERAL unnest(m.minutes, m.totals, m.counts, m.lows, m.highs, m.firsts, m.lasts, m.deltas)
        AS u (minute, total, n, low, high, first, last, delta)
    CROSS JOIN LATERAL (SELECT m.starts_at + u.minute * interval '1 minute' AS at) AS t
    WHERE t.at >= w.since AND t.at < w.until
        AND NOT EXISTS (SELECT FROM remade AS x WHERE x.device_id = s.device_id AND x.hour = m.starts_at);
END;
$$;
COMMENT ON FUNCTION mqtt.rolled_parts(mqtt.rolled_span [], mqtt.reading_span [], text []) IS
'The rollups of these spans, without the hours of late readings that are read from the history instead (kept is null).';

CREATE OR REPLACE FUNCTION mqtt.late_spans(spans mqtt.rolled_span [], is_ordered boolean) RETURNS mqtt.reading_span []
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
    SELECT array_agg(ROW(l.organization_id, l.device_id, l.since, l.until, l.kept, NULL)::mqtt.reading_span)
    FROM unnest(spans) AS s
    CROSS JOIN LATERAL (
        SELECT
            x.organization_id, x.device_id,
            CASE WHEN w.is_whole THEN greatest(x.hour, s.since) ELSE greatest(x.first_at, s.since) END AS since,
            CASE WHEN w.is_whole THEN least(x.hour + interval '1 hour', s.until) ELSE least(x.last_at + interval '1 microsecond', s.until) END AS until,
            CASE WHEN NOT w.is_whole THEN x.positions END AS kept
        FROM (
            SELECT r.*, bool_or(r.positions = '{}') OVER (PARTITION BY r.hour) AS is_changed
            FROM mqtt.late_readings AS r
            WHERE r.organization_id = s.organization_id AND r.device_id = s.device_id AND r.hour > s.since - interval '1 hour' AND r.hour < s.until
        ) AS x
        -- Only in its order does a late reading change what its neighbours count for.
        CROSS JOIN LATERAL (SELECT (is_ordered OR x.is_changed) AND x.hour >= s.raw_since AS is_whole) AS w
        WHERE w.is_whole OR x.positions <> '{}'
        GROUP BY 1, 2, 3, 4, 5
    ) AS l;
$$;
COMMENT ON FUNCTION mqtt.late_spans(mqtt.rolled_span [], boolean) IS
'The hours of these spans that have late or changed readings, to be read from the history as a whole; or the late readings (kept) besides the rollups, where their order does not matter or the other messages may be gone.';
GRANT EXECUTE ON FUNCTION mqtt.bucket_grain(interval, text, timestamptz, timestamptz), mqtt.rolled_spans(mqtt.telemetry_request, interval),
mqtt.rolled_parts(mqtt.rolled_span [], mqtt.reading_span [], text []), mqtt.late_spans(mqtt.rolled_span [], boolean) TO authenticated, service_role;
COMMIT;
