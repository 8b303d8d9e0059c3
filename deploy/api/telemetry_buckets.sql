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

CREATE OR REPLACE FUNCTION mqtt.bucket_summaries_sql(aggregates text [], as_object boolean) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT format(
        'SELECT x.organization_id, x.device_id, mqtt.bucket_start(x.starts_at, $2, $3) AS starts_at, x.metric, %s AS summary '
        'FROM (SELECT p.*%s FROM mqtt.telemetry_parts($1, $2, $3, %L) AS p) AS x GROUP BY 1, 2, 3, 4',
        CASE
            WHEN as_object THEN format('jsonb_build_object(%s)', (SELECT string_agg(format('%L, %s', a.name, mqtt.aggregate_sql(a.name)), ', ') FROM unnest(aggregates) AS a (name)))
            ELSE format('ARRAY[%s]::numeric []', (
                SELECT string_agg(mqtt.aggregate_sql(a.name), ', ' ORDER BY a.ordinality) FROM unnest(aggregates) WITH ORDINALITY AS a (name)
            ))
        END,
        CASE WHEN 'delta' = ANY (aggregates) THEN ', lag(p.last_value) OVER (PARTITION BY p.device_id, p.metric ORDER BY p.first_at, p.starts_at) AS previous' END,
        aggregates && '{first,last,delta}'
    );
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
GRANT EXECUTE ON FUNCTION mqtt.aggregate_sql(text), mqtt.bucket_summaries_sql(text [], boolean),
mqtt.telemetry_buckets(mqtt.telemetry_request, interval, text, text [], mqtt.message_cursor, integer),
mqtt.bucket_range(mqtt.telemetry_request, interval, text, mqtt.message_cursor, integer) TO authenticated, service_role;
COMMIT;
