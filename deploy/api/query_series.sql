-- Deploy topicbase:api/query_series to pg
-- requires: api/query_telemetry
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.nice_bucket(since timestamptz, until timestamptz, time_zone text, most integer) RETURNS interval
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((
        SELECT b.bucket
        FROM unnest(
            '{1 second,2 seconds,5 seconds,10 seconds,15 seconds,30 seconds,1 minute,2 minutes,5 minutes,10 minutes,15 minutes,30 minutes,'
            '1 hour,2 hours,3 hours,6 hours,12 hours,1 day,2 days,7 days,14 days,1 month,3 months,1 year}'::interval []
        ) AS b (bucket)
        WHERE extract(EPOCH FROM until - since) / extract(EPOCH FROM b.bucket) <= 11000
            -- Months differ in length, and so may days by a change of the clock.
            AND 1 + round(extract(
                EPOCH FROM mqtt.bucket_start(until - interval '1 microsecond', b.bucket, time_zone) - mqtt.bucket_start(since, b.bucket, time_zone)
            ) / extract(EPOCH FROM b.bucket)) <= most
        ORDER BY b.bucket
        LIMIT 1
    ), '1 year');
$$;
COMMENT ON FUNCTION mqtt.nice_bucket(timestamptz, timestamptz, text, integer) IS
'The shortest of the usual lengths of buckets of which a range has at most so many.';

CREATE OR REPLACE FUNCTION mqtt.bucket_starts(since timestamptz, until timestamptz, bucket interval, time_zone text) RETURNS SETOF timestamptz
LANGUAGE sql STABLE SECURITY INVOKER ROWS 500
BEGIN ATOMIC
    SELECT t.at
    FROM generate_series(mqtt.bucket_start(since, bucket, time_zone), until, bucket) AS t (at)
    WHERE bucket <= '1 hour' AND t.at < until
    UNION
    -- By the clock of the zone, on which all buckets are equally long. When put back, it shows again what belongs to the one before.
    SELECT s.at
    FROM generate_series(mqtt.bucket_shown(since, bucket, time_zone) - bucket, until AT TIME ZONE time_zone + interval '3 hours', bucket) AS t (shown)
    CROSS JOIN LATERAL (VALUES (t.shown + bucket - interval '1 microsecond')) AS l (last_shown)
    CROSS JOIN LATERAL (VALUES (mqtt.first_time(t.shown, time_zone))) AS s (at)
    WHERE bucket > '1 hour' AND s.at < until AND l.last_shown AT TIME ZONE time_zone >= since AND (t.shown + bucket) AT TIME ZONE time_zone > since;
END;
COMMENT ON FUNCTION mqtt.bucket_starts(timestamptz, timestamptz, interval, text) IS 'The starts of the buckets that a range has a part of.';

CREATE OR REPLACE FUNCTION mqtt.refuse_points() RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'too_many_points' USING
        ERRCODE = 'PT413', DETAIL = 'A series has at most 10000 points, and an answer 1000000.',
        HINT = 'Send a longer bucket, fewer devices or metrics, or a shorter range; with max_points instead of bucket, a bucket that fits is chosen.';
END;
$$;
COMMENT ON FUNCTION mqtt.refuse_points() IS 'Raises PT413 too_many_points.';

CREATE OR REPLACE FUNCTION mqtt.check_series(
    since timestamptz, until timestamptz, bucket interval, max_points integer, fill text, devices bigint
) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_points CONSTANT numeric := CASE WHEN bucket > '0' THEN extract(EPOCH FROM until - since) / extract(EPOCH FROM bucket) END;
BEGIN
    IF fill NOT IN ('none', 'previous', 'zero') THEN
        RAISE EXCEPTION 'fill_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'fill is "none", "previous" or "zero".', HINT = 'Omit it for null in spans without readings.';
    ELSIF max_points NOT BETWEEN 2 AND 10000 THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'max_points is a whole number from 2 to 10000.', HINT = 'Omit it for 500, or send bucket.';
    ELSIF bucket IS NOT NULL AND max_points IS NOT NULL THEN
        RAISE EXCEPTION 'argument_conflict' USING
            ERRCODE = 'PT400', DETAIL = 'bucket and max_points both say how long a span is.', HINT = 'Send one of them.';
    ELSIF NOT isfinite(since) OR NOT isfinite(until) OR (since < until) IS NOT TRUE OR since < '1970-01-01' OR until > now() + interval '10 years' THEN
        RAISE EXCEPTION 'range_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'since is before until, and both are times between 1970 and ten years from now.',
            HINT = 'Omit them for the last 24 hours.';
    ELSIF v_points > 10000 OR v_points * devices > 1000000 THEN
        PERFORM mqtt.refuse_points();
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.check_series(timestamptz, timestamptz, interval, integer, text, bigint) IS
'Raises PT400 fill_invalid, limit_invalid, argument_conflict or range_invalid, or PT413 too_many_points, unless api.query_series takes these.';

CREATE OR REPLACE FUNCTION mqtt.series_points(
    request mqtt.telemetry_request, bucket interval, time_zone text, aggregates text [], fill text
) RETURNS json
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_filler CONSTANT numeric [] := array_fill(CASE fill WHEN 'zero' THEN 0 END::numeric, ARRAY[cardinality(aggregates)]);
    v_answer json;
    v_count bigint;
BEGIN
    EXECUTE format(
        $query$
        WITH found AS MATERIALIZED (SELECT s.* FROM (%1$s) AS s WHERE s.summary IS NOT NULL),
        named AS MATERIALIZED (SELECT DISTINCT x.organization_id, x.device_id, x.metric FROM found AS x WHERE $4 IS DISTINCT FROM 'none'),
        span AS MATERIALIZED (SELECT b.* FROM mqtt.bucket_starts(($1).since, ($1).until, $2, $3) AS b (starts_at) WHERE $4 IS DISTINCT FROM 'none'),
        size AS MATERIALIZED (
            SELECT CASE $4
                WHEN 'none' THEN (SELECT count(*) FROM found)
                ELSE (SELECT count(*) FROM named) * (SELECT count(*) FROM span)
            END AS points_count
        ),
        point AS (
            SELECT f.organization_id, f.device_id, f.metric, f.starts_at, f.summary FROM found AS f WHERE $4 = 'none'
            UNION ALL
            SELECT g.organization_id, g.device_id, g.metric, g.starts_at, coalesce(
                g.summary, CASE $4 WHEN 'previous' THEN first_value(g.summary) OVER (PARTITION BY g.device_id, g.metric, g.place ORDER BY g.starts_at) END, $5
            )
            FROM (
                SELECT n.*, b.starts_at, f.summary, count(f.summary) OVER (PARTITION BY n.device_id, n.metric ORDER BY b.starts_at) AS place
                FROM named AS n
                CROSS JOIN span AS b
                LEFT JOIN found AS f ON f.device_id = n.device_id AND f.metric = n.metric AND f.starts_at = b.starts_at
            ) AS g
        ),
        series AS (
            SELECT
                p.organization_id, p.device_id, p.metric,
                json_agg(to_json(round(extract(EPOCH FROM p.starts_at) * 1000)::bigint || p.summary) ORDER BY p.starts_at) AS points
            FROM point AS p
            WHERE (SELECT z.points_count FROM size AS z) <= 1000000
            GROUP BY p.organization_id, p.device_id, p.metric
        )
        SELECT
            json_agg(json_build_object('deviceId', d.external_id, 'metric', s.metric, 'points', s.points) ORDER BY d.external_id, d.id, s.metric),
            (SELECT z.points_count FROM size AS z)
        FROM series AS s
        JOIN mqtt.devices AS d ON d.organization_id = s.organization_id AND d.id = s.device_id
        $query$,
        mqtt.bucket_summaries_sql(aggregates, false)
    ) INTO v_answer, v_count USING request, bucket, time_zone, fill, v_filler;
    IF v_count > 1000000 THEN
        PERFORM mqtt.refuse_points();
    END IF;
    RETURN coalesce(v_answer, '[]');
END;
$$;
COMMENT ON FUNCTION mqtt.series_points(mqtt.telemetry_request, interval, text, text [], text) IS
'The answer of api.query_series: a series for each device and metric, its points in order of time.';
GRANT EXECUTE ON FUNCTION mqtt.refuse_points(), mqtt.nice_bucket(timestamptz, timestamptz, text, integer), mqtt.bucket_starts(timestamptz, timestamptz, interval, text),
mqtt.check_series(timestamptz, timestamptz, interval, integer, text, bigint),
mqtt.series_points(mqtt.telemetry_request, interval, text, text [], text) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.query_series(
    device_ids text [] DEFAULT NULL, metrics text [] DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
    bucket interval DEFAULT NULL, max_points integer DEFAULT NULL, aggregates text [] DEFAULT '{avg}', time_zone text DEFAULT 'UTC',
    fill text DEFAULT NULL, integration_id uuid DEFAULT NULL, organization_id uuid DEFAULT NULL
) RETURNS json
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_request mqtt.telemetry_request;
    v_bucket interval := query_series.bucket;
    v_devices mqtt.devices [];
BEGIN
    PERFORM mqtt.check_telemetry_range(1, query_series.bucket, 'measured', query_series.device_ids);
    PERFORM mqtt.check_aggregates(query_series.aggregates, query_series.time_zone);
    PERFORM mqtt.require_scope_of_readings(query_series.integration_id, query_series.organization_id, query_series.device_ids IS NOT NULL);
    v_devices := mqtt.find_devices(query_series.device_ids, NULL, NULL, query_series.integration_id, query_series.organization_id);
    v_request.organization_id := query_series.organization_id;
    v_request.integration_id := query_series.integration_id;
    v_request.device_ids := CASE WHEN v_devices IS NOT NULL THEN ARRAY(SELECT DISTINCT d.id FROM unnest(v_devices) AS d) END;
    v_request.by_received := false;
    v_request.until := coalesce(query_series.until, now());
    v_request.since := coalesce(query_series.since, v_request.until - interval '24 hours');
    -- Each once, as a reading would count for each time that its metric is named.
    v_request.metrics := CASE WHEN query_series.metrics IS NOT NULL THEN ARRAY(
        SELECT DISTINCT m.name FROM unnest(query_series.metrics) AS m (name) WHERE m.name IS NOT NULL
    ) END;
    PERFORM mqtt.check_series(
        v_request.since, v_request.until, query_series.bucket, query_series.max_points, query_series.fill,
        coalesce(cardinality(v_request.device_ids), 1)
    );
    v_bucket := coalesce(v_bucket, mqtt.nice_bucket(v_request.since, v_request.until, query_series.time_zone, coalesce(query_series.max_points, 500)));
    RETURN mqtt.series_points(v_request, v_bucket, query_series.time_zone, query_series.aggregates, query_series.fill);
EXCEPTION
    WHEN query_canceled THEN
        RAISE EXCEPTION 'range_too_large' USING
            ERRCODE = 'PT413', DETAIL = 'The range has more messages than one request can go through.', HINT = 'Narrow since and until, or name devices and metrics.';
END;
$$;
COMMENT ON FUNCTION api.query_series(text [], text [], timestamptz, timestamptz, interval, integer, text [], text, text, uuid, uuid) IS
$md$Query series for a chart

Answers `[{"deviceId", "metric", "points": [[epoch_ms, value, …], …]}]`: for each device and metric with numbers in the range, its points in order
of time, each the start of a span and the aggregates over it in the order asked for. since (from; default: 24 hours before until) and until (before;
default: now) are by when it was measured. bucket is the length of a span as in query_telemetry; without it, the shortest usual one is taken of which
the range has at most max_points (2 to 10000, default 500). device_ids (ids or external ids), metrics, integration_id and organization_id narrow
the answer. aggregates are some of avg, min, max, sum, count, first, last, delta, and the percentiles p50, p90, p95 and p99 (null
where readings of the span are gone). fill says what a span without readings has: null (omitted), no
point ("none"), the values of the span before ("previous"), or 0 ("zero"). Numbers are the same as those of query_telemetry.
Errors: 400 `limit_invalid`, `organization_required` (you belong to several), `bucket_invalid`, `fill_invalid`, `range_invalid`, `time_zone_invalid`, `aggregates_invalid`, `argument_conflict`;
404 `integration_not_found`, `organization_not_found`, `device_not_found`; 409 `device_ambiguous`; 413 `range_too_large`, `too_many_points`.
Body: {"fill": "none|previous|zero", "aggregates": ["avg|min|max|sum|count|first|last|delta|p50|p90|p95|p99"]}
Answer: [{"deviceId": "text", "metric": "text", "points": [["number?"]]}]$md$;
GRANT EXECUTE ON FUNCTION api.query_series(
    text [], text [], timestamptz, timestamptz, interval, integer, text [], text, text, uuid, uuid
) TO authenticated, service_role;
COMMIT;
