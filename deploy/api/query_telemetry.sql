-- Deploy topicbase:api/query_telemetry to pg
-- requires: api/telemetry_types
-- requires: integrations/access
-- requires: integrations/find_device
-- requires: tables/cursors
-- requires: tables/readings
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

CREATE OR REPLACE FUNCTION mqtt.has_metric(payload jsonb, names text []) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN names IS NULL THEN true
        WHEN jsonb_typeof(payload) <> 'object' THEN 'value' = ANY (names)
        ELSE payload ?| names OR EXISTS (SELECT FROM unnest(names) AS n (name) WHERE n.name LIKE '%.%' AND mqtt.metric(payload, n.name) IS NOT NULL)
    END;
END;
COMMENT ON FUNCTION mqtt.has_metric(jsonb, text []) IS 'Whether mqtt.telemetry_metrics of the same arguments is not null.';

CREATE OR REPLACE FUNCTION mqtt.telemetry_by_measured(request mqtt.telemetry_request) RETURNS SETOF mqtt.readings
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- The planner overestimates how selective the filters are; without these settings it would read and sort everything to take the newest.
SET enable_bitmapscan = off
SET enable_sort = off
-- Compiling the plan for every partition takes longer than running it.
SET jit = off
AS $$
BEGIN
    RETURN QUERY
    SELECT t.*
    FROM (
        SELECT u.id FROM unnest(request.device_ids) AS u (id)
        UNION ALL
        SELECT d.id
        FROM mqtt.devices AS d
        WHERE request.device_ids IS NULL
            AND (request.integration_id IS NULL OR d.integration_id = request.integration_id)
            AND (request.organization_id IS NULL OR d.organization_id = request.organization_id)
    ) AS d
    CROSS JOIN LATERAL (
        SELECT r.*
        FROM mqtt.readings AS r
        WHERE r.device_id = d.id AND r.measured_at >= request.since AND r.measured_at < request.until
            AND (request.before_at IS NULL OR (r.measured_at, r.position) < (request.before_at, request.before_position))
            AND CASE
                WHEN request.message_types IS NULL THEN r.role = 'telemetry'
                ELSE r.message_type IS NULL OR r.message_type = ANY (request.message_types)
            END
            AND mqtt.has_metric(r.payload, request.metrics)
        ORDER BY r.measured_at DESC, r.position DESC
        LIMIT request.most
    ) AS t
    ORDER BY t.measured_at DESC, t.position DESC
    LIMIT request.most;
END;
$$;
COMMENT ON FUNCTION mqtt.telemetry_by_measured(mqtt.telemetry_request) IS
'The readings that the request selects, by when they were measured, the newest first: those of each device, by its index, merged.';

CREATE OR REPLACE FUNCTION mqtt.telemetry_by_received(request mqtt.telemetry_request) RETURNS SETOF mqtt.readings
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- As above.
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
AS $$
BEGIN
    RETURN QUERY
    SELECT t.*
    FROM mqtt.device_integrations AS i
    CROSS JOIN LATERAL (
        SELECT r.*
        FROM mqtt.readings AS r
        WHERE r.integration_id = i.id AND r.received_at >= request.since AND r.received_at < request.until
            AND (request.before_at IS NULL OR (r.received_at, r.position) < (request.before_at, request.before_position))
            AND (request.device_ids IS NULL OR r.device_id = ANY (request.device_ids))
            AND CASE
                WHEN request.message_types IS NULL THEN r.role = 'telemetry'
                ELSE r.message_type IS NULL OR r.message_type = ANY (request.message_types)
            END
            AND mqtt.has_metric(r.payload, request.metrics)
        ORDER BY r.received_at DESC, r.position DESC
        LIMIT request.most
    ) AS t
    WHERE (request.integration_id IS NULL OR i.id = request.integration_id)
        AND (request.organization_id IS NULL OR i.organization_id = request.organization_id)
    ORDER BY t.received_at DESC, t.position DESC
    LIMIT request.most;
END;
$$;
COMMENT ON FUNCTION mqtt.telemetry_by_received(mqtt.telemetry_request) IS
'The readings that the request selects, by when they were received, the newest first: those of each integration, by its index, merged.';

CREATE OR REPLACE FUNCTION mqtt.telemetry(request mqtt.telemetry_request) RETURNS SETOF mqtt.readings
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_found record;
BEGIN
    IF request.by_received THEN
        RETURN QUERY SELECT t.* FROM mqtt.telemetry_by_received(request) AS t;
        RETURN;
    END IF;
    IF request.device_ids IS NULL AND request.most IS NOT NULL THEN
        -- As many as that were measured since then, so the newest were, too: of each of many devices only these need be read.
        SELECT count(*) AS n, min(t.measured_at) AS since INTO v_found
        FROM mqtt.telemetry_by_received(request) AS t
        WHERE t.measured_at >= request.since AND t.measured_at < request.until
            AND (request.before_at IS NULL OR (t.measured_at, t.position) < (request.before_at, request.before_position));
        IF v_found.n = request.most THEN
            request.since := v_found.since;
        END IF;
    END IF;
    RETURN QUERY SELECT t.* FROM mqtt.telemetry_by_measured(request) AS t;
END;
$$;
COMMENT ON FUNCTION mqtt.telemetry(mqtt.telemetry_request) IS 'The readings that the request selects among those that the caller sees, the newest first.';
GRANT EXECUTE ON FUNCTION mqtt.telemetry_metrics(jsonb, text []), mqtt.has_metric(jsonb, text []), mqtt.telemetry_by_measured(mqtt.telemetry_request),
mqtt.telemetry_by_received(mqtt.telemetry_request), mqtt.telemetry(mqtt.telemetry_request) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.check_telemetry_range(most integer, bucket interval, order_time text, device_ids text []) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (most BETWEEN 1 AND 10000) IS NOT TRUE THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'limit is a whole number from 1 to 10000.', HINT = 'Send the cursor of the last row to get the next page.';
    ELSIF cardinality(device_ids) > 1000 THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'device_ids has at most 1000 elements.', HINT = 'Send several calls, or name the integration instead.';
    ELSIF (order_time IN ('measured', 'received')) IS NOT TRUE THEN
        RAISE EXCEPTION 'time_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'time is "measured" or "received".', HINT = 'Omit it to go by when it was measured.';
    ELSIF bucket <= '0' OR bucket > '366 days'
        -- Months and years have no fixed length, so a part of one added to them makes no sense.
        OR (extract(YEAR FROM bucket) * 12 + extract(MONTH FROM bucket) > 0 AND date_trunc('month', bucket) <> bucket) THEN
        RAISE EXCEPTION 'bucket_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'bucket is a span of time of at most 366 days, such as "5 minutes", 300 (seconds), "1 week" or "1 month".',
            HINT = 'Give whole months without days, or days without months.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.check_telemetry_range(integer, interval, text, text []) IS
'Raises PT400 limit_invalid, time_invalid or bucket_invalid unless api.query_telemetry takes these.';

CREATE OR REPLACE FUNCTION mqtt.check_aggregates(aggregates text [], time_zone text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (cardinality(aggregates) > 0 AND aggregates <@ '{avg,min,max,sum,count,first,last,delta}') IS NOT TRUE THEN
        RAISE EXCEPTION 'aggregates_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'aggregates are some of avg, min, max, sum, count, first, last and delta.', HINT = 'Omit it for avg, min, max and count.';
    END IF;
    -- Postgres also takes abbreviations, and offsets with their sign reversed.
    IF time_zone ~ '^(UTC|GMT|Etc/GMT[+-][0-9]{1,2}|[A-Za-z_]+(/[A-Za-z_-]+)+)$' THEN
        BEGIN
            PERFORM now() AT TIME ZONE time_zone;
            RETURN;
        EXCEPTION
            WHEN invalid_parameter_value THEN
                NULL;
        END;
    END IF;
    RAISE EXCEPTION 'time_zone_invalid' USING
        ERRCODE = 'PT400', DETAIL = format('There is no time zone %s.', left(coalesce(time_zone, 'null'), 100)), HINT = 'Send a name such as Europe/Berlin, or omit it for UTC.';
END;
$$;
COMMENT ON FUNCTION mqtt.check_aggregates(text [], text) IS
'Raises PT400 aggregates_invalid or time_zone_invalid unless buckets can be summarized so, and begin and end by that zone.';

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
GRANT EXECUTE ON FUNCTION mqtt.check_telemetry_range(integer, interval, text, text []), mqtt.check_aggregates(text [], text),
mqtt.bucket_start(timestamptz, interval, text), mqtt.aggregates_sql(text []),
mqtt.telemetry_buckets(mqtt.telemetry_request, interval, text, text [], mqtt.message_cursor, integer),
mqtt.bucket_range(mqtt.telemetry_request, interval, text, mqtt.message_cursor, integer) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.find_devices(device_ids text [], device_id text, external_id text, integration_id uuid, organization_id uuid)
RETURNS mqtt.devices []
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(find_devices.device_id, find_devices.external_id) IS NOT NULL THEN
        RETURN ARRAY[mqtt.find_device(find_devices.device_id, find_devices.external_id, find_devices.integration_id, find_devices.organization_id)]
            || mqtt.find_devices(find_devices.device_ids, NULL, NULL, find_devices.integration_id, find_devices.organization_id);
    ELSIF find_devices.device_ids IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(
        SELECT mqtt.find_device(u.id, NULL, find_devices.integration_id, find_devices.organization_id)
        FROM (SELECT DISTINCT u.id FROM unnest(find_devices.device_ids) AS u (id)) AS u
    );
END;
$$;
COMMENT ON FUNCTION mqtt.find_devices(text [], text, text, uuid, uuid) IS 'Those named, by mqtt.find_device, which raises if one of them is not found; null if none is named.';
GRANT EXECUTE ON FUNCTION mqtt.find_devices(text [], text, text, uuid, uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.query_telemetry(
    integration_id uuid DEFAULT NULL, device_id text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
    metrics text [] DEFAULT NULL, bucket interval DEFAULT NULL, "limit" integer DEFAULT 100,
    message_types text [] DEFAULT NULL, organization_id uuid DEFAULT NULL, external_id text DEFAULT NULL,
    device_ids text [] DEFAULT NULL, "time" text DEFAULT 'measured', cursor text DEFAULT NULL, aggregates text [] DEFAULT '{avg,min,max,count}',
    time_zone text DEFAULT 'UTC'
) RETURNS SETOF mqtt.telemetry_data
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_cursor mqtt.message_cursor := mqtt.read_cursor(query_telemetry.cursor);
    v_devices mqtt.devices [];
    v_request mqtt.telemetry_request;
BEGIN
    PERFORM mqtt.check_telemetry_range(query_telemetry."limit", query_telemetry.bucket, query_telemetry."time", query_telemetry.device_ids);
    PERFORM mqtt.check_aggregates(query_telemetry.aggregates, query_telemetry.time_zone);
    IF query_telemetry.integration_id IS NOT NULL THEN
        PERFORM mqtt.require_integration(query_telemetry.integration_id, query_telemetry.organization_id);
    ELSIF query_telemetry.organization_id IS NOT NULL THEN
        PERFORM mqtt.require_organization(query_telemetry.organization_id);
    END IF;
    v_devices := mqtt.find_devices(
        query_telemetry.device_ids, query_telemetry.device_id, query_telemetry.external_id, query_telemetry.integration_id, query_telemetry.organization_id
    );
    v_request.organization_id := query_telemetry.organization_id;
    v_request.integration_id := coalesce(query_telemetry.integration_id, CASE cardinality(v_devices) WHEN 1 THEN v_devices[1].integration_id END);
    v_request.device_ids := CASE WHEN v_devices IS NOT NULL THEN ARRAY(SELECT DISTINCT d.id FROM unnest(v_devices) AS d) END;
    v_request.by_received := query_telemetry."time" = 'received';
    v_request.since := query_telemetry.since;
    v_request.until := coalesce(query_telemetry.until, 'infinity');
    v_request.metrics := CASE WHEN query_telemetry.metrics IS NOT NULL THEN ARRAY(
        SELECT DISTINCT m.name FROM unnest(query_telemetry.metrics) AS m (name) WHERE m.name IS NOT NULL
    ) END;
    v_request.message_types := query_telemetry.message_types;
    IF query_telemetry.bucket IS NOT NULL THEN
        RETURN QUERY
        SELECT b.*
        FROM mqtt.telemetry_buckets(
            mqtt.bucket_range(v_request, query_telemetry.bucket, query_telemetry.time_zone, v_cursor, query_telemetry."limit"), query_telemetry.bucket,
            query_telemetry.time_zone, query_telemetry.aggregates, v_cursor, query_telemetry."limit"
        ) AS b;
        RETURN;
    END IF;
    v_request.since := coalesce(v_request.since, '-infinity');
    v_request.most := query_telemetry."limit";
    v_request.before_at := v_cursor.at;
    v_request.before_position := coalesce(mqtt.cursor_position(v_cursor), 0);
    RETURN QUERY
    SELECT d.external_id, mqtt.telemetry_metrics(t.payload, v_request.metrics), t.at, mqtt.encode_cursor(t.at, t.received_at, t.organization_id, t.message_id)
    FROM (SELECT r.*, CASE WHEN v_request.by_received THEN r.received_at ELSE r.measured_at END AS at FROM mqtt.telemetry(v_request) AS r) AS t
    LEFT JOIN mqtt.devices AS d ON d.organization_id = t.organization_id AND d.id = t.device_id
    ORDER BY t.at DESC, t.position DESC;
EXCEPTION
    WHEN query_canceled THEN
        RAISE EXCEPTION 'range_too_large' USING
            ERRCODE = 'PT413', DETAIL = 'The range has more messages than one request can go through.', HINT = 'Narrow since and until, or name a device.';
END;
$$;
COMMENT ON FUNCTION api.query_telemetry(
    uuid, text, timestamptz, timestamptz, text [], interval, integer, text [], uuid, text, text [], text, text, text [], text
) IS
$md$Query telemetry

Answers `[{"deviceId", "metrics", "timestamp", "cursor"}]`, newest first: messages from devices whose role is telemetry, by
their message type (the topic level that topic_pattern calls {message_type}), or whose message type is one of message_types. deviceId is the device's external id; metrics is the payload (`{"value": …}` for a
payload that is not an object); timestamp is when it was measured: the device's own time, if that is plausible, or else when the message was
received. You can narrow the result by integration_id, organization_id, device_id (id or external id), external_id or device_ids (ids or external
ids), by since (from) and until (before), by metrics (names; nested ones by path, as in `ENERGY.Power`) and by limit (1 to 10000). To get the next
page, send the cursor of the last row. With `time` "received", timestamp, since, until, order and buckets are by when messages were received.
With bucket (`"5 minutes"`, seconds, `"1 week"`, `"1 month"`) each row summarizes a device's numbers, also those in strings, over that span:
`{"temperature": {"avg", "min", "max", "count"}}`, where timestamp is its start by the clock of time_zone. aggregates are some of avg, min, max,
sum, count, first, last and delta. limit is the number of rows, of which each span has one for each device; without since it goes back limit spans.
Errors: 400 `limit_invalid`, `bucket_invalid`, `time_invalid`, `time_zone_invalid`, `aggregates_invalid`, `cursor_invalid`, `argument_conflict`;
404 `integration_not_found`, `organization_not_found`, `device_not_found`; 409 `device_ambiguous`; 413 `range_too_large`.$md$;
GRANT EXECUTE ON FUNCTION api.query_telemetry(
    uuid, text, timestamptz, timestamptz, text [], interval, integer, text [], uuid, text, text [], text, text, text [], text
) TO authenticated, service_role;
COMMIT;
