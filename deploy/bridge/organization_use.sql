-- Deploy topicbase:bridge/organization_use to pg
-- requires: tables/bridges
-- requires: tables/integration_activity_log
-- requires: tables/ledger
-- requires: tables/stream_connections
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.organization_use(most integer) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH used AS MATERIALIZED (
        SELECT
            o.slug, a.messages, a.bytes, a.processing_seconds, coalesce(q.queued, 0) AS queued, b.brokers, s.viewers,
            jsonb_strip_nulls(jsonb_build_object(
                'max_per_second', o.max_per_second, 'max_bytes_per_second', o.max_bytes_per_second, 'max_queued', o.max_queued,
                'max_processing_seconds', o.max_processing_seconds, 'max_integrations', o.max_integrations, 'max_calls', o.max_calls,
                'max_stream_connections', o.max_stream_connections, 'max_subscriptions', o.max_subscriptions,
                'max_logins', o.max_logins
            )) AS limits
        FROM mqtt.organizations AS o
        -- By the log's key, one range for each organization: however many rows others have.
        CROSS JOIN LATERAL (
            SELECT
                coalesce(sum(l.message_count), 0) AS messages, coalesce(sum((l.details ->> 'bytes')::bigint), 0) AS bytes,
                coalesce(sum((l.details ->> 'processing_ms')::numeric), 0) / 1000 AS processing_seconds
            FROM mqtt.integration_activity_log AS l
            WHERE l.organization_id = o.id AND l.activity_type = 'messages_processed'
                AND l.created_at >= date_trunc('minute', now()) - interval '1 minute' AND l.created_at < date_trunc('minute', now())
        ) AS a
        LEFT JOIN (
            SELECT g.organization_id, sum(g.accepted - g.completed - g.dead - g.expired) AS queued
            FROM mqtt.ledger AS g
            WHERE g.shard > mqtt.ledger_level_settled()
            GROUP BY g.organization_id
        ) AS q ON q.organization_id = o.id
        CROSS JOIN LATERAL (
            SELECT count(*) AS brokers
            FROM mqtt.bridge_leases AS h
            JOIN mqtt.device_integrations AS i ON i.organization_id = h.organization_id AND i.id = h.integration_id
            WHERE h.organization_id = o.id AND i.status = 'active'
        ) AS b
        CROSS JOIN LATERAL (SELECT coalesce(sum(c.connections), 0) AS viewers FROM mqtt.stream_connections AS c WHERE c.organization = o.number) AS s
    ), ranked AS (
        -- Whoever has a large part of anything.
        SELECT u.*, greatest(
            u.messages / nullif(sum(u.messages) OVER (), 0), u.bytes / nullif(sum(u.bytes) OVER (), 0),
            u.processing_seconds / nullif(sum(u.processing_seconds) OVER (), 0), u.queued / nullif(sum(u.queued) OVER (), 0),
            u.brokers / nullif(sum(u.brokers) OVER (), 0), u.viewers / nullif(sum(u.viewers) OVER (), 0)
        ) AS part
        FROM used AS u
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'organization', r.slug, 'messages', r.messages, 'bytes', r.bytes, 'processing_seconds', r.processing_seconds, 'queued_messages', r.queued,
        'broker_connections', r.brokers, 'stream_connections', r.viewers, 'limits', r.limits
    )), '[]')
    FROM (SELECT x.* FROM ranked AS x WHERE x.part > 0 ORDER BY x.part DESC, x.slug LIMIT most) AS r;
$$;
COMMENT ON FUNCTION bridge.organization_use(integer) IS
'What organizations use, of so many at most, those with the largest part of anything first: messages stored, bytes of their payloads and seconds of the workers in the last whole minute; messages that wait and connections now; and the limits that an operator has set.';
GRANT EXECUTE ON FUNCTION bridge.organization_use(integer) TO mqtt_bridge;
COMMIT;
