-- Deploy topicbase:bridge/status to pg
-- requires: base/locks
-- requires: bridge/reseal
-- requires: tables/bridges
-- requires: tables/ledger
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.queue_depths() RETURNS TABLE (queue text, messages bigint, oldest_seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    -- The ledger's counters instead of rows where there are any; the other queue's rows are counted only as far as anyone would care.
    SELECT
        'ingest',
        greatest((SELECT sum(l.accepted - l.completed - l.dead - l.expired) FROM mqtt.ledger AS l WHERE l.shard > mqtt.ledger_level_settled()), 0)::bigint,
        -- From the oldest minute that is incomplete by the counters: there may be millions of dead rows before it.
        (
            SELECT CASE WHEN count(*) > 0 THEN greatest(extract(EPOCH FROM clock_timestamp() - min(f.enqueued_at)), 0) END
            FROM (
                SELECT o.organization_id, min(o.bucket) AS bucket
                FROM (
                    SELECT l.organization_id, l.bucket
                    FROM mqtt.ledger AS l
                    WHERE l.shard > mqtt.ledger_level_settled()
                    GROUP BY l.organization_id, l.bucket
                    HAVING sum(l.accepted - l.completed - l.dead - l.expired) > 0
                ) AS o
                GROUP BY o.organization_id
            ) AS w
            CROSS JOIN LATERAL (
                SELECT q.enqueued_at
                FROM pgmq.q_mqtt_messages AS q
                WHERE q.organization_id = w.organization_id AND q.vt >= w.bucket
                ORDER BY q.vt
                LIMIT 1
            ) AS f
        )
    UNION ALL
    SELECT
        'outbound',
        (SELECT count(*) FROM (SELECT FROM pgmq.q_mqtt_outbound LIMIT 1000000) AS q),
        -- Since it was due: a message that is scheduled for later is not late.
        (
            SELECT CASE WHEN count(*) > 0 THEN greatest(extract(EPOCH FROM clock_timestamp() - min(f.vt)), 0) END
            FROM mqtt.device_integrations AS i
            CROSS JOIN LATERAL (
                SELECT q.vt FROM pgmq.q_mqtt_outbound AS q WHERE q.integration_id = i.id AND q.vt <= now() ORDER BY q.vt LIMIT 1
            ) AS f
        );
$$;
COMMENT ON FUNCTION mqtt.queue_depths() IS
'The two queues: messages that wait (outbound is counted up to a million) and for how long the oldest has, one that waits for a retry counting as of when it is due; null when none does.';

CREATE OR REPLACE FUNCTION bridge.gauges() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'queues', (SELECT jsonb_object_agg(d.queue, jsonb_build_object('messages', d.messages, 'oldest_seconds', coalesce(d.oldest_seconds, 0))) FROM mqtt.queue_depths() AS d),
        'ingest_is_open', (SELECT c.ingest_pause IS NULL FROM mqtt.configuration AS c),
        'notify_queue_ratio', pg_notification_queue_usage()
    );
$$;
COMMENT ON FUNCTION bridge.gauges() IS 'The metrics of the database that are cheap enough for every few seconds. Maintenance returns the rest.';
GRANT EXECUTE ON FUNCTION bridge.gauges() TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.status() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH live AS (
        SELECT b.id
        FROM mqtt.bridges AS b
        WHERE mqtt.bridge_lock(b.id) IN (
            SELECT k.classid::bigint << 32 | k.objid::bigint
            FROM pg_catalog.pg_locks AS k
            WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 1
                AND k.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
        )
    )
    SELECT jsonb_build_object(
        'at', clock_timestamp(),
        'bridges', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'id', b.id, 'name', b.name, 'version', b.version, 'is_live', b.id IN (SELECT l.id FROM live AS l),
                'started_at', b.started_at, 'silent_seconds', round(extract(EPOCH FROM clock_timestamp() - b.seen_at), 1),
                'integrations', (SELECT count(*) FROM mqtt.bridge_leases AS l WHERE l.bridge_id = b.id)
            ) ORDER BY b.name, b.id), '[]')
            FROM mqtt.bridges AS b
        ),
        'integrations', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'id', i.id, 'organization', o.slug, 'name', i.name, 'integration_type', i.integration_type, 'broker', i.settings ->> 'broker_url',
                'status', i.status, 'reason', i.status_detail, 'since', i.status_changed_at,
                'bridge', CASE WHEN l.bridge_id IN (SELECT v.id FROM live AS v) THEN b.name END,
                'outbound_waiting', (
                    SELECT count(*) FROM (SELECT FROM pgmq.q_mqtt_outbound AS q WHERE q.integration_id = i.id LIMIT 100000) AS w
                )
            ) ORDER BY o.slug, i.name, i.id), '[]')
            FROM mqtt.device_integrations AS i
            JOIN mqtt.organizations AS o ON o.id = i.organization_id
            LEFT JOIN mqtt.bridge_leases AS l ON l.organization_id = i.organization_id AND l.integration_id = i.id
            LEFT JOIN mqtt.bridges AS b ON b.id = l.bridge_id
        ),
        'queues', (SELECT jsonb_object_agg(d.queue, jsonb_build_object('messages', d.messages, 'oldest_seconds', round(d.oldest_seconds::numeric, 3))) FROM mqtt.queue_depths() AS d),
        'ingest_pause', (SELECT c.ingest_pause FROM mqtt.configuration AS c),
        'publish_pause', (SELECT c.publish_pause FROM mqtt.configuration AS c),
        'sealing', bridge.sealing_state() - 'public_key'
    );
$$;
COMMENT ON FUNCTION bridge.status() IS
'For topicbase status: which bridges are running, which integrations each holds, whether their brokers can be reached and why not, and how long and old the queues are.';
GRANT EXECUTE ON FUNCTION bridge.status() TO mqtt_bridge;
COMMIT;
