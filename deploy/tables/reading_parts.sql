-- Deploy topicbase:tables/reading_parts to pg
-- requires: tables/readings
-- requires: tables/rollup_types
-- requires: tables/rollups
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.first_time(shown timestamp, time_zone text) RETURNS timestamptz
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN x.earlier AT TIME ZONE time_zone = shown THEN x.earlier ELSE x.later END
    FROM (
        -- By how far the clock was from UTC a day before: while it shows a time for the second time, that is the first one.
        SELECT s.at AS later, (shown - ((s.at - interval '24 hours') AT TIME ZONE time_zone - (s.at - interval '24 hours') AT TIME ZONE 'UTC')) AT TIME ZONE 'UTC' AS earlier
        FROM (SELECT shown AT TIME ZONE time_zone AS at) AS s
    ) AS x;
END;
COMMENT ON FUNCTION mqtt.first_time(timestamp, text) IS
'When the clock of a time zone first shows that. Of an hour that comes twice AT TIME ZONE gives the second; one that is left out is where the clock goes on.';

CREATE OR REPLACE FUNCTION mqtt.bucket_shown(at timestamptz, bucket interval, time_zone text) RETURNS timestamp
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN bucket < '28 days' OR extract(YEAR FROM bucket) * 12 + extract(MONTH FROM bucket) = 0
            -- 2000-01-03 was a Monday.
            THEN date_bin(bucket, at AT TIME ZONE time_zone, '2000-01-03 00:00:00'::timestamp)
        ELSE '2000-01-01 00:00:00'::timestamp + floor(
            ((extract(YEAR FROM at AT TIME ZONE time_zone) - 2000) * 12 + extract(MONTH FROM at AT TIME ZONE time_zone) - 1)
            / (extract(YEAR FROM bucket) * 12 + extract(MONTH FROM bucket))
        )::double precision * bucket
    END;
END;
COMMENT ON FUNCTION mqtt.bucket_shown(timestamptz, interval, text) IS
'What the clock of a time zone shows at the start of the span that a time is in: spans of days or less since midnight of a Monday, of months since a January.';

CREATE OR REPLACE FUNCTION mqtt.bucket_start(at timestamptz, bucket interval, time_zone text) RETURNS timestamptz
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        -- Up to an hour by elapsed time, so that the hour that comes twice in autumn is two.
        WHEN bucket <= '1 hour' THEN date_bin(bucket, at, '2000-01-03 00:00:00'::timestamp AT TIME ZONE time_zone)
        WHEN time_zone = 'UTC' THEN mqtt.bucket_shown(at, bucket, 'UTC') AT TIME ZONE 'UTC'
        ELSE mqtt.first_time(mqtt.bucket_shown(at, bucket, time_zone), time_zone)
    END;
END;
COMMENT ON FUNCTION mqtt.bucket_start(timestamptz, interval, text) IS 'The start of the span that a time is in, by the clock of a time zone.';

CREATE OR REPLACE FUNCTION mqtt.device_rolled_until(progress mqtt.rollup_progress, device_id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN device_id <= (progress).rolled_device THEN (progress).rolling_until ELSE (progress).rolled_until END;
END;
COMMENT ON FUNCTION mqtt.device_rolled_until(mqtt.rollup_progress, uuid) IS
'Until when the readings of a device are rolled up, those that mqtt.late_readings names aside.';

CREATE OR REPLACE FUNCTION mqtt.counter_step(before numeric, after numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN after >= before THEN after - before WHEN after < before THEN after ELSE 0 END;
END;
COMMENT ON FUNCTION mqtt.counter_step(numeric, numeric) IS 'How far a counter went on between two readings: after a fall it counts from 0; 0 where one of them is null.';

CREATE OR REPLACE FUNCTION mqtt.received_since(spans mqtt.reading_span []) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT min(s.since) - (SELECT greatest(c.max_time_ahead, '1 day') FROM mqtt.configuration AS c) FROM unnest(spans) AS s;
$$;
COMMENT ON FUNCTION mqtt.received_since(mqtt.reading_span []) IS
'Since when their readings may have been received, as devices'' times are not much ahead: partitions from before need not be looked at.';

CREATE OR REPLACE FUNCTION mqtt.packed_span_readings(spans mqtt.reading_span [], received_since timestamptz) RETURNS TABLE (
    device_id uuid, since timestamptz, until timestamptz, measured_at timestamptz, place bigint, payload jsonb
)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_group record;
BEGIN
    -- Statements of their own, so that an archive (packaging/citus) is asked only where it may have something, and for all devices at once.
    IF NOT EXISTS (SELECT FROM mqtt.days_in_packs AS d WHERE d.day >= (packed_span_readings.received_since AT TIME ZONE 'UTC')::date) THEN
        RETURN;
    END IF;
    FOR v_group IN
        SELECT s.since, s.until, array_agg(n.number) AS topics
        FROM unnest(spans) AS s
        JOIN mqtt.topics AS n ON n.device_id = s.device_id AND n.role = 'telemetry'
        GROUP BY s.since, s.until
    LOOP
        RETURN QUERY
        SELECT r.device_id, v_group.since, v_group.until, r.measured_at, r.position, r.payload
        FROM mqtt.readings AS r
        WHERE r.is_packed AND r.topic_number = ANY (v_group.topics) AND r.measured_at >= v_group.since AND r.measured_at < v_group.until
            AND r.role = 'telemetry' AND r.received_at >= packed_span_readings.received_since AND r.last_measured_at >= v_group.since
            AND r.first_measured_at < v_group.until;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.packed_span_readings(mqtt.reading_span [], timestamptz) IS
'Packed telemetry of these devices and spans that was received since then; a span for each device that has it.';

CREATE OR REPLACE FUNCTION mqtt.span_readings(spans mqtt.reading_span [], received_since timestamptz) RETURNS TABLE (
    organization_id uuid, device_id uuid, since timestamptz, measured_at timestamptz, place bigint, payload jsonb
)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 10000
BEGIN ATOMIC
    SELECT m.organization_id, m.device_id, m.since, m.measured_at, m.place, m.payload
    FROM (
        SELECT s.organization_id, s.device_id, s.since, s.kept, s.skipped, m.measured_at, m.position AS place, m.payload
        FROM unnest(spans) AS s
        INNER JOIN mqtt.topics AS n ON n.device_id = s.device_id AND n.role = 'telemetry'
        -- Apart, so that the index is entered by both of its columns.
        CROSS JOIN LATERAL (
            SELECT r.measured_at, r.position, r.payload
            FROM mqtt.readings AS r
            WHERE NOT r.is_packed AND r.topic_number = n.number AND r.measured_at >= s.since AND r.measured_at < s.until AND r.role = 'telemetry'
                AND r.received_at >= span_readings.received_since AND r.last_measured_at >= s.since AND r.first_measured_at < s.until
            OFFSET 0
        ) AS m
        UNION ALL
        SELECT s.organization_id, s.device_id, s.since, s.kept, s.skipped, p.measured_at, p.place, p.payload
        FROM mqtt.packed_span_readings(spans, span_readings.received_since) AS p
        INNER JOIN unnest(spans) AS s ON s.device_id = p.device_id AND s.since = p.since AND s.until = p.until
    ) AS m
    WHERE (m.kept IS NULL OR m.place = ANY (m.kept)) AND (m.skipped IS NULL OR m.place <> ALL (m.skipped));
END;
COMMENT ON FUNCTION mqtt.span_readings(mqtt.reading_span [], timestamptz) IS
'The telemetry of devices in spans that was received since then (mqtt.received_since): those of the positions kept, without those skipped.';

CREATE OR REPLACE FUNCTION mqtt.reading_parts(spans mqtt.reading_span [], names text [], bucket interval, time_zone text) RETURNS SETOF mqtt.rollup_part
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
-- As in mqtt.telemetry_by_measured.
SET enable_bitmapscan = off
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_received_since CONSTANT timestamptz := mqtt.received_since(spans);
BEGIN
    RETURN QUERY
    SELECT
        x.organization_id, x.device_id, x.metric, x.starts_at, count(*), sum(x.value), min(x.value), max(x.value),
        max(x.value) FILTER (WHERE x.previous IS NULL), min(x.at), max(x.value) FILTER (WHERE x.following IS NULL), max(x.at),
        sum(mqtt.counter_step(x.previous, x.value))
    FROM (
        SELECT v.*, lag(v.value) OVER w AS previous, lead(v.value) OVER w AS following
        FROM (
            SELECT
                t.organization_id, t.device_id, t.metric, greatest(mqtt.bucket_start(t.at, bucket, time_zone), t.since) AS starts_at, t.at, t.position,
                mqtt.metric_number(t.value) AS value
            FROM (
                SELECT r.organization_id, r.device_id, r.since, r.at, r.position, e.metric COLLATE "C" AS metric, e.value
                FROM (
                    SELECT m.organization_id, m.device_id, m.since, m.measured_at AS at, m.place AS position, m.payload
                    FROM mqtt.span_readings(spans, v_received_since) AS m
                    -- What has been computed is cheap to name twice, so that functions of it are inlined.
                    OFFSET 0
                ) AS r
                CROSS JOIN LATERAL mqtt.metric_values(r.payload, names) AS e
                OFFSET 0
            ) AS t
            OFFSET 0
        ) AS v
        WHERE v.value IS NOT NULL
        WINDOW w AS (PARTITION BY v.device_id, v.metric, v.starts_at ORDER BY v.at, v.position)
    ) AS x
    GROUP BY x.organization_id, x.device_id, x.metric, x.starts_at;
END;
$$;
COMMENT ON FUNCTION mqtt.reading_parts(mqtt.reading_span [], text [], interval, text) IS
'The numbers among the metrics of telemetry, those named (null: all), summarized by device, metric, span and bucket; starts_at is where the later of the two starts.';

CREATE OR REPLACE FUNCTION mqtt.unordered_parts(spans mqtt.reading_span [], names text [], bucket interval, time_zone text) RETURNS SETOF mqtt.rollup_part
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
-- As above.
SET enable_bitmapscan = off
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_received_since CONSTANT timestamptz := mqtt.received_since(spans);
BEGIN
    RETURN QUERY
    SELECT
        v.organization_id, v.device_id, v.metric, v.starts_at, count(*), sum(v.value), min(v.value), max(v.value), NULL::numeric, min(v.at), NULL::numeric,
        max(v.at), NULL::numeric
    FROM (
        SELECT
            t.organization_id, t.device_id, t.metric, greatest(mqtt.bucket_start(t.at, bucket, time_zone), t.since) AS starts_at, t.at, t.position,
            mqtt.metric_number(t.value) AS value
        FROM (
            SELECT r.organization_id, r.device_id, r.since, r.at, r.position, e.metric COLLATE "C" AS metric, e.value
            FROM (
                SELECT m.organization_id, m.device_id, m.since, m.measured_at AS at, m.place AS position, m.payload
                FROM mqtt.span_readings(spans, v_received_since) AS m
                -- What has been computed is cheap to name twice, so that functions of it are inlined.
                OFFSET 0
            ) AS r
            CROSS JOIN LATERAL mqtt.metric_values(r.payload, names) AS e
            OFFSET 0
        ) AS t
        OFFSET 0
    ) AS v
    WHERE v.value IS NOT NULL
    GROUP BY v.organization_id, v.device_id, v.metric, v.starts_at;
END;
$$;
COMMENT ON FUNCTION mqtt.unordered_parts(mqtt.reading_span [], text [], interval, text) IS
'The same as mqtt.reading_parts, but without first_value, last_value and delta, and so without sorting: in half the time.';
GRANT EXECUTE ON FUNCTION mqtt.first_time(timestamp, text), mqtt.bucket_shown(timestamptz, interval, text),
mqtt.bucket_start(timestamptz, interval, text), mqtt.counter_step(numeric, numeric),
mqtt.device_rolled_until(mqtt.rollup_progress, uuid), mqtt.received_since(mqtt.reading_span []),
mqtt.packed_span_readings(mqtt.reading_span [], timestamptz), mqtt.span_readings(mqtt.reading_span [], timestamptz),
mqtt.reading_parts(mqtt.reading_span [], text [], interval, text),
mqtt.unordered_parts(mqtt.reading_span [], text [], interval, text) TO authenticated, service_role;
COMMIT;
