-- Deploy topicbase:api/get_organization_usage to pg
-- requires: integrations/operator_access
-- requires: tables/bridges
-- requires: tables/integration_activity_log
-- requires: tables/ledger
-- requires: tables/mqtt_credentials
-- requires: tables/mqtt_subscriptions
-- requires: tables/stream_connections
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.stored_usage(since timestamptz, until timestamptz)
RETURNS TABLE (organization integer, received bigint, published bigint, bytes bigint, seconds_to_store double precision)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        h.organization, count(*) FILTER (WHERE h.flags & 8 = 0), count(*) FILTER (WHERE h.flags & 8 = 8),
        sum(coalesce(octet_length(h.body), 0) + pg_column_size(h.payload))::bigint, round(avg(h.stored_after) / 1000.0, 2)::double precision
    FROM (
        SELECT x.organization, x.flags, x.body, x.payload, x.stored_after
        FROM mqtt.history AS x
        WHERE x.received_at >= stored_usage.since AND x.received_at < stored_usage.until
            AND (x.received_at AT TIME ZONE 'UTC')::date <> ALL (ARRAY(SELECT d.day FROM mqtt.packed_days AS d WHERE d.state = 'packed'))
        UNION ALL
        SELECT p.organization, p.flags, p.body, p.payload, p.stored_after
        FROM mqtt.packed_history AS p
        WHERE p.last_received_at >= stored_usage.since AND p.first_received_at < stored_usage.until
            AND p.received_at >= stored_usage.since AND p.received_at < stored_usage.until
    ) AS h
    GROUP BY h.organization;
END;
$$;
COMMENT ON FUNCTION mqtt.stored_usage(timestamptz, timestamptz) IS
'What each organization (by its number) added to the history: messages, bytes of payloads, and the mean seconds from accepted to stored. Reads the whole range.';

CREATE OR REPLACE FUNCTION api.get_organization_usage(since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (
    organization_id uuid, slug text, name text, accepted bigint, dead bigint, queued bigint, received bigint, published bigint, bytes bigint,
    seconds_to_store double precision, processing_seconds double precision, logins bigint, integrations bigint, connections bigint, stream_connections bigint,
    subscriptions bigint, devices bigint, limits jsonb
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_since CONSTANT timestamptz := coalesce(get_organization_usage.since, now() - interval '1 hour');
    v_until CONSTANT timestamptz := coalesce(get_organization_usage.until, 'infinity');
BEGIN
    PERFORM mqtt.require_operator();
    RETURN QUERY
    WITH counted AS (
        SELECT
            l.organization_id,
            sum(l.accepted) FILTER (WHERE l.bucket >= v_since AND l.bucket < v_until) AS accepted,
            sum(l.dead) FILTER (WHERE l.bucket >= v_since AND l.bucket < v_until) AS dead,
            sum(l.accepted - l.completed - l.dead - l.expired) AS queued
        FROM mqtt.ledger AS l
        GROUP BY l.organization_id
    )
    SELECT
        o.id, o.slug, o.name, coalesce(c.accepted, 0)::bigint, coalesce(c.dead, 0)::bigint, coalesce(c.queued, 0)::bigint,
        coalesce(u.received, 0), coalesce(u.published, 0), coalesce(u.bytes, 0), u.seconds_to_store,
        (
            SELECT coalesce(round(sum((a.details ->> 'processing_ms')::numeric) / 1000, 3), 0)::double precision
            FROM mqtt.integration_activity_log AS a
            WHERE a.organization_id = o.id AND a.created_at >= v_since AND a.created_at < v_until AND a.activity_type = 'messages_processed'
        ),
        (
            SELECT count(*)
            FROM mqtt.mqtt_credentials AS k
            WHERE k.organization_id = o.id AND k.revoked_at IS NULL AND (k.expires_at > now()) IS NOT FALSE
        ),
        (SELECT count(*) FROM mqtt.device_integrations AS i WHERE i.organization_id = o.id),
        (
            SELECT count(*)
            FROM mqtt.bridge_leases AS b
            JOIN mqtt.device_integrations AS i ON i.id = b.integration_id
            WHERE i.organization_id = o.id AND i.status = 'active'
        ),
        (SELECT coalesce(sum(s.connections), 0)::bigint FROM mqtt.stream_connections AS s WHERE s.organization = o.number),
        (SELECT count(*) FROM mqtt.mqtt_subscriptions AS s WHERE s.organization_id = o.id),
        (SELECT count(*) FROM mqtt.devices AS d WHERE d.organization_id = o.id),
        jsonb_build_object(
            'max_per_second', o.max_per_second, 'max_burst', o.max_burst, 'max_queued', o.max_queued, 'max_payload_bytes', o.max_payload_bytes,
            'max_logins', o.max_logins, 'max_bytes_per_second', o.max_bytes_per_second, 'max_processing_seconds', o.max_processing_seconds,
            'max_integrations', o.max_integrations, 'max_calls', o.max_calls, 'max_stream_connections', o.max_stream_connections,
            'max_subscriptions', o.max_subscriptions, 'completed_days', o.completed_days
        )
    FROM mqtt.organizations AS o
    LEFT JOIN counted AS c ON c.organization_id = o.id
    LEFT JOIN mqtt.stored_usage(v_since, v_until) AS u ON u.organization = o.number
    ORDER BY u.bytes DESC NULLS LAST, o.slug;
END;
$$;
COMMENT ON FUNCTION api.get_organization_usage(timestamptz, timestamptz) IS
$md$Show operators what each organization uses

A row for each organization, those with the most bytes first: messages `accepted` from devices and brokers, `dead` letters of them, `received` and
`published` messages stored, `bytes` of their payloads and the mean `seconds_to_store` (from accepted to stored), the `processing_seconds` of
the workers (each batch's time, shared out by bytes, of which a message has 500 more than its payload), from since (default: an hour ago) until
until; and what there is now: `queued` messages, valid `logins`, `integrations`, `connections` of the bridge to their brokers, `stream_connections`,
`subscriptions`, `devices`, and the `limits` that set_organization_limits has set (null: the installation's). Never content. It reads the history of the range.
Errors: 403 `operator_required`.$md$;
GRANT EXECUTE ON FUNCTION api.get_organization_usage(timestamptz, timestamptz) TO authenticated, service_role;
COMMIT;
