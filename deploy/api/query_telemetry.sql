-- Deploy topicbase:api/query_telemetry to pg
-- requires: api/telemetry_types
-- requires: integrations/access
-- requires: integrations/find_device
-- requires: tables/mqtt_messages
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.telemetry_metrics(payload jsonb, names text []) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN names IS NULL THEN CASE jsonb_typeof(payload) WHEN 'object' THEN payload ELSE jsonb_build_object('value', payload) END
        WHEN jsonb_typeof(payload) = 'object' THEN (SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each(payload) AS e WHERE e.key = ANY (names))
        WHEN 'value' = ANY (names) THEN jsonb_build_object('value', payload)
    END;
END;
COMMENT ON FUNCTION mqtt.telemetry_metrics(jsonb, text []) IS
'The metrics in a payload: its members (those named, if names are given), or {"value": payload} if it is not an object; null if it has none of them.';

CREATE OR REPLACE FUNCTION mqtt.has_metric(payload jsonb, names text []) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN names IS NULL THEN true WHEN jsonb_typeof(payload) = 'object' THEN payload ?| names ELSE 'value' = ANY (names) END;
END;
COMMENT ON FUNCTION mqtt.has_metric(jsonb, text []) IS 'Whether mqtt.telemetry_metrics of the same arguments is not null.';

CREATE OR REPLACE FUNCTION mqtt.telemetry(
    integration_id uuid, device_id uuid, organization_id uuid, since timestamptz, until timestamptz, metrics text [], message_types text [], most integer
) RETURNS SETOF mqtt.telemetry_reading
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- The planner overestimates how selective the filters are; without these settings it would read and sort everything to take the newest.
SET enable_bitmapscan = off
SET enable_sort = off
-- Compiling the plan for every partition takes longer than running it.
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_level integer;
BEGIN
    IF telemetry.device_id IS NOT NULL THEN
        SELECT i.message_type_level INTO v_level FROM mqtt.device_integrations AS i WHERE i.id = telemetry.integration_id;
        RETURN QUERY
        SELECT t.organization_id, t.device_id, t.received_at, coalesce(t.sent_at, t.received_at), mqtt.telemetry_metrics(t.payload, telemetry.metrics)
        FROM (
            SELECT m.organization_id, m.device_id, m.received_at, m.sent_at, m.payload
            FROM mqtt.mqtt_messages AS m
            WHERE m.device_id = telemetry.device_id AND m.received_at >= telemetry.since AND m.received_at < telemetry.until
                AND m.direction = 'incoming' AND m.body IS NULL
                AND (v_level = 0 OR split_part(m.topic, '/', v_level) = ANY (telemetry.message_types))
                AND mqtt.has_metric(m.payload, telemetry.metrics)
            ORDER BY m.received_at DESC
            LIMIT telemetry.most
        ) AS t;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT i.organization_id, t.device_id, t.received_at, coalesce(t.sent_at, t.received_at), mqtt.telemetry_metrics(t.payload, telemetry.metrics)
    FROM mqtt.device_integrations AS i
    CROSS JOIN LATERAL (
        SELECT m.device_id, m.received_at, m.sent_at, m.payload
        FROM mqtt.mqtt_messages AS m
        WHERE m.integration_id = i.id AND m.received_at >= telemetry.since AND m.received_at < telemetry.until
            AND m.direction = 'incoming' AND m.device_id IS NOT NULL AND m.body IS NULL
            AND (i.message_type_level = 0 OR split_part(m.topic, '/', i.message_type_level) = ANY (telemetry.message_types))
            AND mqtt.has_metric(m.payload, telemetry.metrics)
        ORDER BY m.received_at DESC
        LIMIT telemetry.most
    ) AS t
    WHERE (telemetry.integration_id IS NULL OR i.id = telemetry.integration_id)
        AND (telemetry.organization_id IS NULL OR i.organization_id = telemetry.organization_id)
    ORDER BY t.received_at DESC
    LIMIT telemetry.most;
END;
$$;
COMMENT ON FUNCTION mqtt.telemetry(uuid, uuid, uuid, timestamptz, timestamptz, text [], text [], integer) IS
'Telemetry that the caller sees, of a device, an integration, an organization or all; the newest received first. most is the number of rows, null for no limit.';
GRANT EXECUTE ON FUNCTION mqtt.telemetry_metrics(jsonb, text []), mqtt.has_metric(jsonb, text []),
mqtt.telemetry(uuid, uuid, uuid, timestamptz, timestamptz, text [], text [], integer) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.check_telemetry_range(most integer, bucket interval) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (most BETWEEN 1 AND 10000) IS NOT TRUE THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'limit is a whole number from 1 to 10000.', HINT = 'Send until to get earlier readings.';
    ELSIF bucket <= '0' OR bucket > '366 days' OR extract(month FROM bucket) <> 0 OR extract(year FROM bucket) <> 0 THEN
        RAISE EXCEPTION 'bucket_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'bucket is a span of time of at most 366 days, such as "5 minutes" or 300 (seconds).',
            HINT = 'Give days, not months, which have no fixed length.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.check_telemetry_range(integer, interval) IS 'Raises PT400 limit_invalid or bucket_invalid unless api.query_telemetry takes these.';

CREATE OR REPLACE FUNCTION mqtt.telemetry_buckets(
    integration_id uuid, device_id uuid, organization_id uuid, since timestamptz, until timestamptz, metrics text [], message_types text [],
    bucket interval, most integer
) RETURNS SETOF mqtt.telemetry_data
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.external_id, b.metrics, b.starts_at
    FROM (
        SELECT s.organization_id, s.device_id, s.starts_at, jsonb_object_agg(s.key, s.summary) AS metrics
        FROM (
            SELECT
                t.organization_id, t.device_id, e.key, date_bin(telemetry_buckets.bucket, t.measured_at, '2000-01-01 00:00:00+00') AS starts_at,
                jsonb_build_object(
                    'avg', trim_scale(avg(e.value::numeric)), 'min', min(e.value::numeric), 'max', max(e.value::numeric), 'count', count(*)
                ) AS summary
            FROM mqtt.telemetry(
                telemetry_buckets.integration_id, telemetry_buckets.device_id, telemetry_buckets.organization_id, telemetry_buckets.since, telemetry_buckets.until,
                telemetry_buckets.metrics, telemetry_buckets.message_types, NULL
            ) AS t
            CROSS JOIN LATERAL jsonb_each(t.metrics) AS e
            WHERE jsonb_typeof(e.value) = 'number'
            GROUP BY 1, 2, 3, 4
        ) AS s
        GROUP BY 1, 2, 3
        ORDER BY s.starts_at DESC, s.device_id
        LIMIT telemetry_buckets.most
    ) AS b
    LEFT JOIN mqtt.devices AS d ON d.organization_id = b.organization_id AND d.id = b.device_id
    ORDER BY b.starts_at DESC, d.external_id;
END;
$$;
COMMENT ON FUNCTION mqtt.telemetry_buckets(uuid, uuid, uuid, timestamptz, timestamptz, text [], text [], interval, integer) IS
'The numeric metrics of mqtt.telemetry, summarized per device and span of time: avg, min, max and count; newest first, at most that many rows.';
GRANT EXECUTE ON FUNCTION mqtt.check_telemetry_range(integer, interval),
mqtt.telemetry_buckets(uuid, uuid, uuid, timestamptz, timestamptz, text [], text [], interval, integer) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.query_telemetry(
    integration_id uuid DEFAULT NULL, device_id text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
    metrics text [] DEFAULT NULL, bucket interval DEFAULT NULL, "limit" integer DEFAULT 100,
    message_types text [] DEFAULT '{telemetry,data,sensor}', organization_id uuid DEFAULT NULL, external_id text DEFAULT NULL
) RETURNS SETOF mqtt.telemetry_data
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_device mqtt.devices;
    v_integration_id uuid := query_telemetry.integration_id;
    v_until timestamptz := coalesce(query_telemetry.until, 'infinity');
    v_since timestamptz := coalesce(query_telemetry.since, '-infinity');
BEGIN
    PERFORM mqtt.check_telemetry_range(query_telemetry."limit", query_telemetry.bucket);
    IF v_integration_id IS NOT NULL THEN
        PERFORM mqtt.require_integration(v_integration_id, query_telemetry.organization_id);
    ELSIF query_telemetry.organization_id IS NOT NULL THEN
        PERFORM mqtt.require_organization(query_telemetry.organization_id);
    END IF;
    IF coalesce(query_telemetry.device_id, query_telemetry.external_id) IS NOT NULL THEN
        v_device := mqtt.find_device(query_telemetry.device_id, query_telemetry.external_id, v_integration_id, query_telemetry.organization_id);
        v_integration_id := v_device.integration_id;
    END IF;
    IF query_telemetry.bucket IS NULL THEN
        RETURN QUERY
        SELECT d.external_id, t.metrics, t.measured_at
        FROM mqtt.telemetry(
            v_integration_id, v_device.id, query_telemetry.organization_id, v_since, v_until, query_telemetry.metrics,
            query_telemetry.message_types, query_telemetry."limit"
        ) AS t
        LEFT JOIN mqtt.devices AS d ON d.organization_id = t.organization_id AND d.id = t.device_id
        ORDER BY t.received_at DESC;
        RETURN;
    END IF;
    IF query_telemetry.since IS NULL THEN
        v_since := to_timestamp(greatest(
            extract(epoch FROM least(v_until, now())) - extract(epoch FROM query_telemetry.bucket) * query_telemetry."limit", 0
        )::double precision);
    END IF;
    RETURN QUERY
    SELECT b.*
    FROM mqtt.telemetry_buckets(
        v_integration_id, v_device.id, query_telemetry.organization_id, v_since, v_until, query_telemetry.metrics,
        query_telemetry.message_types, query_telemetry.bucket, query_telemetry."limit"
    ) AS b;
EXCEPTION
    WHEN query_canceled THEN
        RAISE EXCEPTION 'range_too_large' USING
            ERRCODE = 'PT413', DETAIL = 'The range has more messages than one request can go through.', HINT = 'Narrow since and until, or name a device.';
END;
$$;
COMMENT ON FUNCTION api.query_telemetry(uuid, text, timestamptz, timestamptz, text [], interval, integer, text [], uuid, text) IS
$md$Query telemetry

Answers `[{"deviceId", "metrics", "timestamp"}]`, newest first: messages from devices whose message type (the topic level that topic_pattern
calls {message_type}) is one of message_types. deviceId is the device's external id; metrics is the payload (`{"value": …}` for a payload that
is not an object); timestamp is the device's own, or else when the message was received. You can narrow the result by integration_id,
organization_id, device_id (id or external id) or external_id, by since (from) and until (before), which compare when a message was received,
by metrics (names) and by limit (1 to 10000).
With bucket (`"5 minutes"`, or seconds) each row summarizes a device's numeric metrics over that span:
`{"temperature": {"avg", "min", "max", "count"}}`, where timestamp is its start. Without since it goes back limit buckets.
Errors: 400 `limit_invalid`, `bucket_invalid`, `argument_conflict`; 404 `integration_not_found`, `organization_not_found`,
`device_not_found`; 409 `device_ambiguous`; 413 `range_too_large`.$md$;
GRANT EXECUTE ON FUNCTION api.query_telemetry(uuid, text, timestamptz, timestamptz, text [], interval, integer, text [], uuid, text)
TO authenticated, service_role;
COMMIT;
