-- Deploy topicbase:api/telemetry_buckets to pg
-- requires: api/telemetry
-- requires: tables/cursors
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.bucket_start(at timestamptz, bucket interval, time_zone text) RETURNS timestamptz
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN bucket < '28 days' OR extract(YEAR FROM bucket) * 12 + extract(MONTH FROM bucket) = 0 THEN CASE
            -- 2000-01-03 was a Monday. Up to an hour by elapsed time, so that the hour that comes twice in autumn is two.
            WHEN bucket <= '1 hour' THEN date_bin(bucket, at, '2000-01-03 00:00:00'::timestamp AT TIME ZONE time_zone)
            ELSE date_bin(bucket, at AT TIME ZONE time_zone, '2000-01-03 00:00:00'::timestamp) AT TIME ZONE time_zone
        END
        ELSE ('2000-01-01 00:00:00'::timestamp + floor(
            ((extract(YEAR FROM at AT TIME ZONE time_zone) - 2000) * 12 + extract(MONTH FROM at AT TIME ZONE time_zone) - 1)
            / (extract(YEAR FROM bucket) * 12 + extract(MONTH FROM bucket))
        )::double precision * bucket) AT TIME ZONE time_zone
    END;
END;
COMMENT ON FUNCTION mqtt.bucket_start(timestamptz, interval, text) IS
'The start of the span that a time is in, by the clock of a time zone: spans of days or less since midnight of a Monday, of months since a January.';

CREATE OR REPLACE FUNCTION mqtt.aggregates_sql(aggregates text []) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT string_agg(format('%L, %s', a.name, a.expression), ', ')
    FROM (VALUES
        ('avg', 'trim_scale(avg(x.value))'), ('min', 'min(x.value)'), ('max', 'max(x.value)'), ('sum', 'sum(x.value)'), ('count', 'count(*)'),
        ('first', '(array_agg(x.value ORDER BY x.at, x.position))[1]'), ('last', '(array_agg(x.value ORDER BY x.at DESC, x.position DESC))[1]'),
        ('delta', 'coalesce(sum(CASE WHEN x.value >= x.previous THEN x.value - x.previous WHEN x.value < x.previous THEN x.value END), 0)')
    ) AS a (name, expression)
    WHERE a.name = ANY (aggregates);
END;
COMMENT ON FUNCTION mqtt.aggregates_sql(text []) IS
'The arguments of jsonb_build_object that make a summary of these aggregates. delta is how far a counter went on: after a reset it counts from 0.';

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
            FROM (
                SELECT x.organization_id, x.device_id, mqtt.bucket_start(x.at, $2, $3) AS starts_at, x.metric, jsonb_build_object(%s) AS summary
                FROM (SELECT v.* %s FROM (
                    SELECT
                        r.organization_id, r.device_id, CASE WHEN ($1).by_received THEN r.received_at ELSE r.measured_at END AS at, r.position,
                        e.metric, mqtt.metric_number(e.value) AS value
                    FROM mqtt.telemetry($1) AS r
                    CROSS JOIN LATERAL mqtt.metric_values(r.payload, ($1).metrics) AS e
                ) AS v WHERE v.value IS NOT NULL) AS x
                GROUP BY 1, 2, 3, 4
            ) AS s
            WHERE $4 IS NULL OR s.starts_at < $4 OR (s.starts_at = $4 AND s.device_id > $5)
            GROUP BY 1, 2, 3
            ORDER BY s.starts_at DESC, s.device_id
            LIMIT $6
        ) AS b
        LEFT JOIN mqtt.devices AS d ON d.organization_id = b.organization_id AND d.id = b.device_id
        ORDER BY b.starts_at DESC, b.device_id
        $query$,
        mqtt.aggregates_sql(aggregates),
        CASE WHEN 'delta' = ANY (aggregates) THEN ', lag(v.value) OVER (PARTITION BY v.device_id, v.metric ORDER BY v.at, v.position) AS previous' END
    ) USING request, bucket, time_zone, cursor.at, cursor.id, most;
END;
$$;
COMMENT ON FUNCTION mqtt.telemetry_buckets(mqtt.telemetry_request, interval, text, text [], mqtt.message_cursor, integer) IS
'The numbers among the metrics of mqtt.telemetry, summarized per device and span of time; newest span first, then by device, after the cursor, at most that many rows.';

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
GRANT EXECUTE ON FUNCTION mqtt.bucket_start(timestamptz, interval, text), mqtt.aggregates_sql(text []),
mqtt.telemetry_buckets(mqtt.telemetry_request, interval, text, text [], mqtt.message_cursor, integer),
mqtt.bucket_range(mqtt.telemetry_request, interval, text, mqtt.message_cursor, integer) TO authenticated, service_role;
COMMIT;
