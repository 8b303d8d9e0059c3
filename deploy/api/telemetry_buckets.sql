-- Deploy topicbase:api/telemetry_buckets to pg
-- requires: api/telemetry_parts
-- requires: tables/cursors
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.aggregate_sql(aggregate text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE aggregate
        WHEN 'avg' THEN 'trim_scale(sum(x.total) / sum(x.n))'
        WHEN 'min' THEN 'min(x.lowest)'
        WHEN 'max' THEN 'max(x.highest)'
        WHEN 'sum' THEN 'sum(x.total)'
        WHEN 'count' THEN 'sum(x.n)'
        WHEN 'first' THEN '(array_agg(x.first_value ORDER BY x.first_at, x.starts_at))[1]'
        WHEN 'last' THEN '(array_agg(x.last_value ORDER BY x.last_at DESC, x.starts_at DESC))[1]'
        WHEN 'delta' THEN 'sum(x.delta + mqtt.counter_step(x.previous, x.first_value))'
    END;
END;
COMMENT ON FUNCTION mqtt.aggregate_sql(text) IS
'The expression for an aggregate of the parts in a bucket. delta is how far a counter went on: after a reset it counts from 0.';

CREATE OR REPLACE FUNCTION mqtt.percentile(aggregate text) RETURNS numeric
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT substring(aggregate, '^p(50|90|95|99)$')::numeric / 100;
END;
COMMENT ON FUNCTION mqtt.percentile(text) IS 'What part of the numbers are at most as high as this aggregate; null of one that is no percentile.';

CREATE OR REPLACE FUNCTION mqtt.percentiles_sql(aggregates text []) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- Rollups know none; where readings are gone that they count, those that are left say nothing.
    SELECT format(
        ' LEFT JOIN (SELECT v.organization_id, v.device_id, mqtt.bucket_start(v.at, $2, $3) AS starts_at, v.metric, count(*) AS n, %s'
        ' FROM mqtt.telemetry_numbers($1) AS v GROUP BY 1, 2, 3, 4) AS q USING (organization_id, device_id, starts_at, metric, n)',
        string_agg(DISTINCT format('percentile_disc(%s) WITHIN GROUP (ORDER BY v.value) AS %I', mqtt.percentile(a.name), a.name), ', ')
    )
    FROM unnest(aggregates) AS a (name)
    WHERE mqtt.percentile(a.name) IS NOT NULL
    HAVING count(*) > 0;
END;
COMMENT ON FUNCTION mqtt.percentiles_sql(text []) IS
'What joins the percentiles among the aggregates to the other summaries of mqtt.bucket_summaries_sql; null where there are none.';

CREATE OR REPLACE FUNCTION mqtt.bucket_summaries_sql(aggregates text [], as_object boolean) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT format(
        'SELECT organization_id, device_id, starts_at, metric, %1$s AS summary FROM ('
        'SELECT x.organization_id, x.device_id, mqtt.bucket_start(x.starts_at, $2, $3) AS starts_at, x.metric, sum(x.n) AS n%2$s '
        'FROM (SELECT p.*%3$s FROM mqtt.telemetry_parts($1, $2, $3, %4$L) AS p) AS x GROUP BY 1, 2, 3, 4) AS s%5$s',
        CASE WHEN as_object THEN format('jsonb_build_object(%s)', a.names_columns) ELSE format('ARRAY[%s]::numeric []', a.columns) END,
        a.expressions,
        CASE WHEN 'delta' = ANY (aggregates) THEN ', lag(p.last_value) OVER (PARTITION BY p.device_id, p.metric ORDER BY p.first_at, p.starts_at) AS previous' END,
        aggregates && '{first,last,delta}', mqtt.percentiles_sql(aggregates)
    )
    FROM (
        SELECT
            string_agg(format('%L, %I', x.name, x.name), ', ') AS names_columns, string_agg(format('%I', x.name), ', ' ORDER BY x.ordinality) AS columns,
            string_agg(DISTINCT format(', %s AS %I', mqtt.aggregate_sql(x.name), x.name), '') FILTER (WHERE mqtt.percentile(x.name) IS NULL) AS expressions
        FROM unnest(aggregates) WITH ORDINALITY AS x (name)
    ) AS a;
END;
COMMENT ON FUNCTION mqtt.bucket_summaries_sql(text [], boolean) IS
'A query for telemetry by bucket ($1: which, $2, $3: buckets of which zone): a row for each device, bucket and metric with those aggregates, by name or as an array.';

CREATE OR REPLACE FUNCTION mqtt.telemetry_buckets(
    request mqtt.telemetry_request, bucket interval, time_zone text, aggregates text [], cursor mqtt.message_cursor, most integer
) RETURNS SETOF mqtt.telemetry_data
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        $query$
        SELECT d.external_id, b.metrics, b.starts_at, mqtt.encode_cursor(b.starts_at, b.starts_at, b.organization_id, b.device_id)
        FROM (
            SELECT s.organization_id, s.device_id, s.starts_at, jsonb_object_agg(s.metric, s.summary) AS metrics
            FROM (%s) AS s
            WHERE $4 IS NULL OR s.starts_at < $4 OR (s.starts_at = $4 AND s.device_id > $5)
            GROUP BY 1, 2, 3
            ORDER BY s.starts_at DESC, s.device_id
            LIMIT $6
        ) AS b
        LEFT JOIN mqtt.devices AS d ON d.organization_id = b.organization_id AND d.id = b.device_id
        ORDER BY b.starts_at DESC, b.device_id
        $query$,
        mqtt.bucket_summaries_sql(aggregates, true)
    ) USING request, bucket, time_zone, cursor.at, cursor.id, most;
END;
$$;
COMMENT ON FUNCTION mqtt.telemetry_buckets(mqtt.telemetry_request, interval, text, text [], mqtt.message_cursor, integer) IS
'Telemetry summarized per device and span of time; newest span first, then by device, after the cursor, at most that many rows.';

CREATE OR REPLACE FUNCTION mqtt.bucket_range(
    request mqtt.telemetry_request, bucket interval, time_zone text, cursor mqtt.message_cursor, most integer
) RETURNS mqtt.telemetry_request
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A month has up to 31 days, of which extract counts 30.
    v_seconds CONSTANT numeric := extract(EPOCH FROM bucket) * CASE WHEN bucket >= '28 days' THEN 1.04 ELSE 1 END;
BEGIN
    IF cursor IS NOT NULL THEN
        -- The span of the cursor may go on with other devices; it may be longer than usual by a change of the clock.
        request.until := least(request.until, cursor.at + bucket + interval '1 day');
    END IF;
    IF request.since IS NULL THEN
        request.since := mqtt.bucket_start(
            to_timestamp(greatest(extract(EPOCH FROM least(request.until, now())) - v_seconds * (most - 1), 0)::double precision), bucket, time_zone
        );
    END IF;
    RETURN request;
END;
$$;
COMMENT ON FUNCTION mqtt.bucket_range(mqtt.telemetry_request, interval, text, mqtt.message_cursor, integer) IS
'The request with the range that spans of time are made of: up to the cursor''s, and without since back that many.';
GRANT EXECUTE ON FUNCTION mqtt.aggregate_sql(text), mqtt.percentile(text), mqtt.percentiles_sql(text []), mqtt.bucket_summaries_sql(text [], boolean),
mqtt.telemetry_buckets(mqtt.telemetry_request, interval, text, text [], mqtt.message_cursor, integer),
mqtt.bucket_range(mqtt.telemetry_request, interval, text, mqtt.message_cursor, integer) TO authenticated, service_role;
COMMIT;
