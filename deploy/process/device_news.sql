-- Deploy topicbase:process/device_news to pg
-- requires: process/batch_types
-- requires: process/device_data
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.news_of_devices(samples mqtt.arrived_sample []) RETURNS mqtt.device_news []
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
BEGIN
    RETURN (
        WITH sample AS MATERIALIZED (
            SELECT x.* FROM unnest(samples) AS x WHERE x.external_id IS NOT NULL
        ),
        -- Of each device, what was measured last of its telemetry and is JSON, if anything is; of what was measured at the same time, the last that came.
        data AS MATERIALIZED (
            SELECT DISTINCT ON (x.organization_id, x.integration_id, x.external_id)
                x.organization_id, x.integration_id, x.external_id,
                CASE WHEN x.is_news THEN coalesce(x.data, CASE WHEN x.body IS NULL THEN x.payload END) END AS last_data,
                CASE WHEN x.is_news THEN x.measured_at END AS last_data_at, CASE WHEN x.is_news THEN x.msg_id END AS msg_id,
                max(x.enqueued_at) FILTER (WHERE NOT x.is_retained AND x.role NOT IN ('command', 'ignore')) OVER w AS last_seen_at,
                count(*) OVER w > 1 AS has_more
            FROM sample AS x
            WINDOW w AS (
                PARTITION BY x.organization_id, x.integration_id, x.external_id
                ORDER BY x.is_news DESC, (x.body IS NULL OR x.data IS NOT NULL) DESC, x.measured_at DESC, x.msg_id DESC, x.sample DESC
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
            )
            ORDER BY x.organization_id, x.integration_id, x.external_id, x.is_news DESC,
                (x.body IS NULL OR x.data IS NOT NULL) DESC, x.measured_at DESC, x.msg_id DESC, x.sample DESC
        ),
        told AS MATERIALIZED (
            SELECT x.integration_id, x.external_id, x.measured_at, x.msg_id, x.sample, (
                SELECT jsonb_object_agg(r.metric, jsonb_build_object('value', r.value, 'at', x.at))
                FROM mqtt.payload_metrics(coalesce(x.data, mqtt.data_of_payload(x.payload, x.sent_at))) AS r
                WHERE mqtt.is_news(x.organization_id, x.integration_id, x.external_id, x.role, x.is_retained, r.metric)
            ) AS latest
            FROM (
                SELECT l.*, ARRAY(SELECT jsonb_object_keys(CASE WHEN l.has_more THEN mqtt.object_or_none(l.last_data) END)) AS names FROM data AS l OFFSET 0
            ) AS d
            JOIN (SELECT m.*, to_jsonb(m.measured_at) AS at FROM sample AS m OFFSET 0) AS x USING (integration_id, external_id)
            WHERE (x.body IS NULL OR x.data IS NOT NULL) AND (x.sample IS NULL OR x.data IS NOT NULL) AND x.role = 'telemetry'
                AND (x.msg_id = d.msg_id OR NOT mqtt.is_covered(coalesce(x.data, x.payload), d.names))
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
                d.organization_id, integration_id, external_id, d.last_data, d.last_data_at, d.last_seen_at, coalesce(l.latest, '{}'), l.latest_since
            )::mqtt.device_news
        )
        FROM data AS d
        LEFT JOIN latest AS l USING (integration_id, external_id)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.news_of_devices(mqtt.arrived_sample []) IS 'What a batch tells of each of its devices; null when it has none. A part of mqtt.store_messages.';
COMMIT;
