-- Deploy topicbase:process/latest_values to pg
-- requires: process/batch_types
-- requires: tables/devices
-- requires: tables/readings
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
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

CREATE OR REPLACE FUNCTION mqtt.has_metrics(payload jsonb, newer jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- An object, in which a name is found without looking at all of them: thousands of metrics would be millions of comparisons.
    v_newer CONSTANT jsonb := coalesce((SELECT jsonb_object_agg(m.metric, true) FROM mqtt.payload_metrics(newer) AS m), '{}');
BEGIN
    RETURN NOT EXISTS (SELECT FROM mqtt.payload_metrics(payload) AS m WHERE NOT v_newer ? m.metric);
END;
$$;
COMMENT ON FUNCTION mqtt.has_metrics(jsonb, jsonb) IS 'Whether a newer payload has all metrics (mqtt.payload_metrics) of a payload. For large ones, of which each metric that is looked at costs more; mqtt.is_covered looks at small ones.';

CREATE OR REPLACE FUNCTION mqtt.is_covered(payload jsonb, newer jsonb) RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- Without taking them apart, which costs more than all the rest. No member of a small payload is too large to be a metric.
    SELECT CASE
        WHEN pg_column_size(newer) > 1024 OR pg_column_compression(newer) IS NOT NULL THEN pg_column_size(newer) > 10000 AND mqtt.has_metrics(payload, newer)
        WHEN jsonb_typeof(payload) = 'object' AND jsonb_typeof(newer) = 'object' THEN
            payload || newer = newer AND NOT jsonb_path_exists(payload, 'strict $.* ? (@.type() == "object")')
            AND NOT jsonb_path_exists(newer, 'strict $.* ? (@.type() == "object" || @.type() == "array")')
        ELSE jsonb_typeof(payload) NOT IN ('object', 'array') AND jsonb_typeof(newer) NOT IN ('object', 'array')
    END;
END;
COMMENT ON FUNCTION mqtt.is_covered(jsonb, jsonb) IS
'Whether a payload has no metric that a newer one lacks; false also where that is not seen at once, unless they are large. Mostly the newest message of a device has all metrics that the others have.';

CREATE OR REPLACE FUNCTION mqtt.metric_names(payload jsonb) RETURNS text []
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN pg_column_size(payload) <= 1024 AND pg_column_compression(payload) IS NULL AND jsonb_typeof(payload) = 'object'
            AND NOT jsonb_path_exists(payload, 'strict $.* ? (@.type() == "object" || @.type() == "array")')
            THEN ARRAY(SELECT k.name FROM jsonb_object_keys(payload) AS k (name))
    END;
END;
COMMENT ON FUNCTION mqtt.metric_names(jsonb) IS
'The metrics of a payload (mqtt.payload_metrics) where each of its members is one, and it is small; else null.';

CREATE OR REPLACE FUNCTION mqtt.has_only_metrics(payload jsonb, names text [], newer jsonb) RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN names IS NOT NULL AND jsonb_typeof(payload) = 'object' THEN payload - names = '{}' AND NOT jsonb_path_exists(payload, '$.*.*')
        ELSE mqtt.is_covered(payload, newer)
    END;
END;
COMMENT ON FUNCTION mqtt.has_only_metrics(jsonb, text [], jsonb) IS
'mqtt.is_covered, for many payloads beside a newer one: names are its mqtt.metric_names. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.newest_metrics(latest jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_object_agg(k.key, k.value), '{}')
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
        -- Joined, since each look at what is stored compressed would decompress it.
        LEFT JOIN jsonb_each(known) AS k ON k.key = n.key
        WHERE (n.value ->> 'at')::timestamptz >= coalesce((k.value ->> 'at')::timestamptz, '-infinity')
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

CREATE OR REPLACE FUNCTION mqtt.data_values(last_data jsonb, last_data_at timestamptz) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The same text whatever the session's time zone is.
    v_at CONSTANT text := (to_jsonb(last_data_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00';
BEGIN
    RETURN coalesce((
        SELECT jsonb_object_agg(m.metric, jsonb_build_object('value', m.value, 'at', v_at))
        FROM (
            -- Of one time, mqtt.newest_metrics would take these.
            SELECT x.metric, x.value FROM mqtt.payload_metrics(mqtt.data_of_payload(last_data, last_data_at)) AS x ORDER BY x.metric LIMIT 500
        ) AS m
    ), '{}');
END;
$$;
COMMENT ON FUNCTION mqtt.data_values(jsonb, timestamptz) IS 'The metrics of a device''s last_data, at most 500, as latest values: {"temperature": {"value": 23.5, "at": "…"}}.';

CREATE OR REPLACE FUNCTION mqtt.joined_values(latest jsonb, last_data jsonb, last_data_at timestamptz) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_all CONSTANT jsonb := latest || mqtt.data_values(last_data, last_data_at);
BEGIN
    -- An entry takes more than 50 bytes.
    RETURN CASE WHEN pg_column_size(v_all) < 25000 THEN v_all ELSE mqtt.newest_metrics(v_all) END;
END;
$$;
COMMENT ON FUNCTION mqtt.joined_values(jsonb, jsonb, timestamptz) IS 'mqtt.latest_values of a device whose last_data tells some of them.';

CREATE OR REPLACE FUNCTION mqtt.latest_values(latest jsonb, last_data jsonb, last_data_at timestamptz, is_data_latest boolean) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN is_data_latest THEN mqtt.joined_values(latest, last_data, last_data_at) ELSE latest END;
END;
COMMENT ON FUNCTION mqtt.latest_values(jsonb, jsonb, timestamptz, boolean) IS
'The newest value of each metric of a device, at most 500, from the columns of mqtt.devices: what latest has, and where is_data_latest, the metrics of last_data before it.';

CREATE OR REPLACE FUNCTION mqtt.latest_of(device mqtt.devices) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Text, as a body that is parsed would not let a column be added to the table.
    RETURN mqtt.latest_values(device.latest, device.last_data, device.last_data_at, device.is_data_latest);
END;
$$;
COMMENT ON FUNCTION mqtt.latest_of(mqtt.devices) IS 'mqtt.latest_values of a device.';

CREATE OR REPLACE FUNCTION mqtt.device_document(device mqtt.devices) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN to_jsonb(device) - 'is_data_latest' || jsonb_build_object('latest', mqtt.latest_of(device));
END;
$$;
COMMENT ON FUNCTION mqtt.device_document(mqtt.devices) IS 'A device as the calls of the API answer it.';

CREATE OR REPLACE FUNCTION mqtt.is_data_latest(known boolean, known_at timestamptz, data boolean, data_at timestamptz, latest jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN data AND (data_at < known_at) IS NOT TRUE THEN true WHEN data_at IS NULL AND latest = '{}' THEN known ELSE false END;
END;
COMMENT ON FUNCTION mqtt.is_data_latest(boolean, timestamptz, boolean, timestamptz, jsonb) IS
'devices.is_data_latest once news have come as well: data, data_at and latest are those of the news.';

CREATE OR REPLACE FUNCTION mqtt.told_latest(device mqtt.devices, news mqtt.device_news) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_known jsonb;
BEGIN
    IF news.is_data_latest AND (news.last_data_at < device.last_data_at) IS NOT TRUE THEN
        IF news.latest = '{}' AND device.is_data_latest AND mqtt.has_metrics(
            mqtt.data_of_payload(device.last_data, device.last_data_at), mqtt.data_of_payload(news.last_data, news.last_data_at)
        ) THEN
            RETURN device.latest;
        END IF;
        RETURN mqtt.newest_values(mqtt.latest_of(device), device.last_data_at, news.latest, news.latest_since);
    END IF;
    v_known := mqtt.latest_of(device);
    IF news.is_data_latest THEN
        RETURN mqtt.merged_latest(v_known, mqtt.joined_values(news.latest, news.last_data, news.last_data_at));
    END IF;
    RETURN mqtt.newest_values(v_known, device.last_data_at, news.latest, news.latest_since);
END;
$$;
COMMENT ON FUNCTION mqtt.told_latest(mqtt.devices, mqtt.device_news) IS
'devices.latest once news have come as well, where the metrics of their last_data are not all that was known.';

GRANT EXECUTE ON FUNCTION mqtt.latest_values(jsonb, jsonb, timestamptz, boolean), mqtt.latest_of(mqtt.devices), mqtt.device_document(mqtt.devices),
mqtt.joined_values(jsonb, jsonb, timestamptz), mqtt.data_values(jsonb, timestamptz), mqtt.payload_metrics(jsonb), mqtt.flat_payload(jsonb),
mqtt.newest_metrics(jsonb) TO authenticated, service_role;
COMMIT;
