-- Deploy topicbase:api/query_telemetry to pg
-- requires: api/telemetry_buckets
-- requires: integrations/access
-- requires: integrations/find_device
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
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
    IF (cardinality(aggregates) BETWEEN 1 AND 8 AND aggregates <@ '{avg,min,max,sum,count,first,last,delta,p50,p90,p95,p99}') IS NOT TRUE THEN
        RAISE EXCEPTION 'aggregates_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'aggregates are at most eight of avg, min, max, sum, count, first, last, delta, p50, p90, p95 and p99.', HINT = 'Omit it for avg, min, max and count.';
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
GRANT EXECUTE ON FUNCTION mqtt.check_telemetry_range(integer, interval, text, text []), mqtt.check_aggregates(text [], text) TO authenticated, service_role;

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
    PERFORM mqtt.require_scope_of_readings(
        query_telemetry.integration_id, query_telemetry.organization_id,
        coalesce(query_telemetry.device_id, query_telemetry.external_id, query_telemetry.device_ids::text) IS NOT NULL
    );
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
sum, count, first, last, delta, and the percentiles p50, p90, p95 and p99, each a number that was measured, and null where
readings of the span are gone. limit is the number of rows, of which each span has one for each device; without since it goes back limit spans.
Errors: 400 `limit_invalid`, `organization_required` (you belong to several), `bucket_invalid`, `time_invalid`, `time_zone_invalid`, `aggregates_invalid`, `cursor_invalid`, `argument_conflict`;
404 `integration_not_found`, `organization_not_found`, `device_not_found`; 409 `device_ambiguous`; 413 `range_too_large`.$md$;
GRANT EXECUTE ON FUNCTION api.query_telemetry(
    uuid, text, timestamptz, timestamptz, text [], interval, integer, text [], uuid, text, text [], text, text, text [], text
) TO authenticated, service_role;
COMMIT;
