-- Deploy topicbase:process/device_data to pg
-- requires: tables/deferred_updates
-- requires: tables/readings
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.latest_data(known jsonb, known_at timestamptz, data jsonb, data_at timestamptz) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN data_at >= coalesce(known_at, '-infinity') THEN coalesce(data, known) ELSE known END;
END;
COMMENT ON FUNCTION mqtt.latest_data(jsonb, timestamptz, jsonb, timestamptz) IS
'A device''s last_data once data has come as well: what was measured last, and is JSON.';

CREATE OR REPLACE FUNCTION mqtt.flat_payload(payload jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT jsonb_object_agg(v.metric, v.value) FROM mqtt.metric_values(payload, NULL) AS v);
END;
$$;
COMMENT ON FUNCTION mqtt.flat_payload(jsonb) IS 'The metrics of a payload (mqtt.metric_values) as the members of one object.';

CREATE OR REPLACE FUNCTION mqtt.payload_metrics(payload jsonb) RETURNS TABLE (metric text, value jsonb)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 5
BEGIN ATOMIC
    SELECT e.key, e.value
    FROM jsonb_each(CASE
        WHEN jsonb_typeof(payload) <> 'object' THEN jsonb_build_object('value', payload)
        WHEN jsonb_path_exists(payload, 'strict $.* ? (@.type() == "object")') THEN mqtt.flat_payload(payload)
        ELSE payload
    END) AS e
    WHERE jsonb_typeof(e.value) NOT IN ('object', 'array') AND octet_length(e.key) <= 255 AND pg_column_size(e.value) <= 1024;
END;
COMMENT ON FUNCTION mqtt.payload_metrics(jsonb) IS
'The metrics of a payload whose latest values are kept: its members, those of members as in mqtt.flat_payload, or value for what is not an object; numbers, strings, true, false and null of at most 1 kB. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.object_or_none(value jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE jsonb_typeof(value) WHEN 'object' THEN value END;
END;
COMMENT ON FUNCTION mqtt.object_or_none(jsonb) IS 'The value if it is an object, else null.';

CREATE OR REPLACE FUNCTION mqtt.is_covered(payload jsonb, names text []) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN jsonb_typeof(payload) = 'object' THEN payload - names = '{}' AND NOT jsonb_path_exists(payload, 'strict $.* ? (@.type() == "object")')
        ELSE names = '{}'
    END;
END;
COMMENT ON FUNCTION mqtt.is_covered(jsonb, text []) IS
'Whether a payload has no metric that one with members of these names (none: one that is not an object) lacks; false also where that is not seen at once. Mostly the newest message of a device covers the others of its batch.';

CREATE OR REPLACE FUNCTION mqtt.newest_metrics(latest jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_object_agg(k.key, k.value)
        FROM (SELECT l.key, l.value FROM jsonb_each(latest) AS l ORDER BY (l.value ->> 'at')::timestamptz DESC, l.key LIMIT 500) AS k
    );
END;
$$;
COMMENT ON FUNCTION mqtt.newest_metrics(jsonb) IS 'The 500 newest of a device''s latest values.';

CREATE OR REPLACE FUNCTION mqtt.merged_latest(known jsonb, news jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.newest_metrics(known || coalesce((
        SELECT jsonb_object_agg(n.key, n.value)
        FROM jsonb_each(news) AS n
        WHERE (n.value ->> 'at')::timestamptz >= coalesce((known -> n.key ->> 'at')::timestamptz, '-infinity')
    ), '{}'));
END;
$$;
COMMENT ON FUNCTION mqtt.merged_latest(jsonb, jsonb) IS 'The general way of mqtt.newest_values: each metric for itself.';

CREATE OR REPLACE FUNCTION mqtt.newest_values(known jsonb, known_at timestamptz, news jsonb, news_since timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN news = '{}' THEN known
        -- Nothing known was measured later than any of the news. An entry takes more than 50 bytes.
        WHEN (known_at <= news_since OR known = '{}') AND (pg_column_size(known) + pg_column_size(news) < 1500 OR pg_column_size(known || news) < 25000)
            THEN known || news
        ELSE mqtt.merged_latest(known, news)
    END;
END;
COMMENT ON FUNCTION mqtt.newest_values(jsonb, timestamptz, jsonb, timestamptz) IS
'A device''s latest values once news have come as well: of each metric what was measured last, of equal times the news; at most 500 metrics, the newest. known_at: last_data_at; news_since: when the first of the news was measured.';

CREATE OR REPLACE FUNCTION mqtt.has_reading(organization_id uuid, integration_id uuid, external_id text, metric text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM mqtt.devices AS d
        WHERE d.organization_id = has_reading.organization_id AND d.integration_id = has_reading.integration_id
            AND d.external_id = has_reading.external_id AND CASE WHEN metric IS NULL THEN d.last_data IS NOT NULL ELSE d.latest ? metric END
    );
END;
$$;
COMMENT ON FUNCTION mqtt.has_reading(uuid, uuid, text, text) IS 'Whether there is such a device, with a latest value of that metric (null: with any data).';

CREATE OR REPLACE FUNCTION mqtt.is_news(
    organization_id uuid, integration_id uuid, external_id text, role text, is_retained boolean, metric text DEFAULT NULL
) RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT external_id IS NOT NULL AND role = 'telemetry'
        AND CASE WHEN is_retained THEN NOT mqtt.has_reading(organization_id, integration_id, external_id, metric) ELSE true END;
END;
COMMENT ON FUNCTION mqtt.is_news(uuid, uuid, text, text, boolean, text) IS
'Whether a message tells a new value of a metric (null: new data) of its device: telemetry does; but what a broker had retained tells of no new measurement, and counts where there is no value yet. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.presence_once_seen(known jsonb, seen_at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN NOT known ? 'by' OR seen_at IS NULL OR seen_at < (known ->> 'since')::timestamptz THEN known
        ELSE jsonb_build_object('state', 'online', 'since', seen_at)
    END;
END;
COMMENT ON FUNCTION mqtt.presence_once_seen(jsonb, timestamptz) IS
'A device''s presence once it has sent something: online where silence alone had made it offline (mqtt.note_silence), else as it was.';

CREATE OR REPLACE FUNCTION mqtt.device_name(name text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN octet_length(name) BETWEEN 1 AND 255 THEN name END;
END;
COMMENT ON FUNCTION mqtt.device_name(text) IS 'The name if it can be a device''s external id, else null.';

CREATE OR REPLACE FUNCTION mqtt.plausible_time(sent_at timestamptz, received_at timestamptz, max_behind interval, max_ahead interval) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN sent_at IS NOT NULL AND sent_at BETWEEN received_at - max_behind AND received_at + max_ahead THEN sent_at ELSE received_at END;
END;
COMMENT ON FUNCTION mqtt.plausible_time(timestamptz, timestamptz, interval, interval) IS
'When a message was measured: the time that the device gave, where that is plausible, else when it was received.';

CREATE OR REPLACE FUNCTION mqtt.known_device(organization_id uuid, integration_id uuid, external_id text) RETURNS TABLE (id uuid)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    SELECT d.id
    FROM (SELECT known_device.organization_id, known_device.integration_id, known_device.external_id) AS n
    LEFT JOIN mqtt.deferred_device_ids AS r USING (organization_id, integration_id, external_id)
    CROSS JOIN LATERAL (
        SELECT r.device_id AS id
        WHERE r.device_id IS NOT NULL
        UNION ALL
        SELECT x.id
        FROM mqtt.devices AS x
        WHERE r.device_id IS NULL AND x.organization_id = n.organization_id AND x.integration_id = n.integration_id AND x.external_id = n.external_id
    ) AS d;
END;
COMMENT ON FUNCTION mqtt.known_device(uuid, uuid, text) IS
'The device, if there is one: among those whose updates were deferred before its versions in mqtt.devices are read. A part of the statement that asks.';
COMMIT;
