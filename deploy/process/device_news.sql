-- Deploy topicbase:process/device_news to pg
-- requires: process/device_data
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.samples_of_devices(samples mqtt.arrived_sample []) RETURNS TABLE (
    organization_id uuid, integration_id uuid, external_id text, msg_id bigint, sample integer, measured_at timestamptz, sent_at timestamptz, role text,
    is_news boolean, is_retained boolean, is_of_rule boolean, content jsonb, seen_at timestamptz, tells boolean, is_simple boolean
)
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        s.*, s.content IS NOT NULL AND s.role = 'telemetry' AND (s.sample IS NULL OR s.is_of_rule),
        CASE WHEN s.is_of_rule THEN NOT s.content ?| '{timestamp,ts}' ELSE s.sent_at IS NULL OR s.sent_at = s.measured_at END
    FROM (
        SELECT
            x.organization_id, x.integration_id, x.external_id, x.msg_id, x.sample, x.measured_at, x.sent_at, x.role, x.is_news, x.is_retained,
            x.data IS NOT NULL AS is_of_rule, coalesce(x.data, CASE WHEN x.body IS NULL THEN x.payload END) AS content,
            CASE WHEN NOT x.is_retained AND x.role NOT IN ('command', 'ignore') THEN x.enqueued_at END AS seen_at
        FROM unnest(samples) AS x
        WHERE x.external_id IS NOT NULL
    ) AS s;
END;
COMMENT ON FUNCTION mqtt.samples_of_devices(mqtt.arrived_sample []) IS
'Samples that name a device: with their JSON (content), whether that are latest values (tells), and whether the same come of it as devices.last_data (is_simple). A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.told_values(payload jsonb, measured_at timestamptz, known jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
BEGIN
    RETURN (
        SELECT jsonb_object_agg(r.metric, jsonb_build_object('value', r.value, 'at', measured_at))
        FROM (
            SELECT m.metric, m.value FROM mqtt.payload_metrics(payload) AS m WHERE (known ? m.metric) IS NOT TRUE
            -- Of one time, mqtt.newest_metrics would take these.
            ORDER BY m.metric
            LIMIT 500
        ) AS r
    );
END;
$$;
COMMENT ON FUNCTION mqtt.told_values(jsonb, timestamptz, jsonb) IS
'The metrics of a payload, at most 500, as latest values; without those known, if these are given: what was retained tells those that have no value yet. A part of mqtt.store_messages.';

CREATE OR REPLACE FUNCTION mqtt.news_of_devices(samples mqtt.arrived_sample []) RETURNS mqtt.device_news []
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
BEGIN
    RETURN (
        WITH sample AS MATERIALIZED (SELECT s.* FROM mqtt.samples_of_devices(samples) AS s),
        -- Of each device, what was measured last of its telemetry and is JSON, if anything is; of what was measured at the same time, the last that came.
        data AS MATERIALIZED (
            SELECT DISTINCT ON (x.organization_id, x.integration_id, x.external_id)
                x.organization_id, x.integration_id, x.external_id, CASE WHEN x.is_news THEN x.content END AS last_data,
                CASE WHEN x.is_news THEN x.measured_at END AS last_data_at, CASE WHEN x.is_news THEN x.msg_id END AS msg_id, x.sample,
                max(x.seen_at) OVER w AS last_seen_at, count(*) OVER w > 1 AS has_more,
                x.is_news AND x.tells AND x.is_simple AND NOT bool_or(x.is_retained) OVER w AS is_data_latest
            FROM sample AS x
            WINDOW w AS (
                PARTITION BY x.organization_id, x.integration_id, x.external_id
                ORDER BY x.is_news DESC, x.content IS NOT NULL DESC, x.measured_at DESC, x.msg_id DESC, x.sample DESC
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
            )
            ORDER BY x.organization_id, x.integration_id, x.external_id, x.is_news DESC, x.content IS NOT NULL DESC, x.measured_at DESC, x.msg_id DESC,
                x.sample DESC
        ),
        -- Those that last_data does not tell.
        told AS MATERIALIZED (
            SELECT
                x.integration_id, x.external_id, x.measured_at, x.msg_id, x.sample,
                mqtt.told_values(
                    x.metrics, x.measured_at, CASE WHEN x.is_retained THEN mqtt.known_values(x.organization_id, x.integration_id, x.external_id) END
                ) AS latest
            FROM (SELECT x.*, mqtt.metric_names(x.last_data) AS names FROM data AS x WHERE x.has_more OR NOT x.is_data_latest OFFSET 0) AS d
            JOIN (
                SELECT s.*, CASE WHEN s.is_of_rule THEN s.content ELSE mqtt.data_of_payload(s.content, s.sent_at) END AS metrics FROM sample AS s WHERE s.tells
                OFFSET 0
            ) AS x USING (integration_id, external_id)
            WHERE NOT d.is_data_latest
                OR d.has_more AND NOT (x.msg_id = d.msg_id AND x.sample IS NOT DISTINCT FROM d.sample) AND NOT mqtt.has_only_metrics(x.metrics, d.names, d.last_data)
        ),
        latest AS MATERIALIZED (
            SELECT t.integration_id, t.external_id, min(t.measured_at) AS latest_since,
                CASE count(*) WHEN 1 THEN (array_agg(t.latest))[1] ELSE (
                    SELECT jsonb_object_agg(e.key, e.value ORDER BY u.measured_at, u.msg_id, u.sample)
                    FROM unnest(array_agg(t.latest), array_agg(t.measured_at), array_agg(t.msg_id), array_agg(t.sample)) AS u (latest, measured_at, msg_id, sample)
                    CROSS JOIN LATERAL jsonb_each(u.latest) AS e
                ) END AS latest
            FROM told AS t
            WHERE t.latest IS NOT NULL
            GROUP BY t.integration_id, t.external_id
        )
        SELECT array_agg(
            ROW(
                d.organization_id, integration_id, external_id, d.last_data, d.last_data_at, d.last_seen_at, coalesce(l.latest, '{}'), l.latest_since,
                d.is_data_latest
            )::mqtt.device_news
        )
        FROM data AS d
        LEFT JOIN latest AS l USING (integration_id, external_id)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.news_of_devices(mqtt.arrived_sample []) IS 'What a batch tells of each of its devices; null when it has none. A part of mqtt.store_messages.';
COMMIT;
