-- Deploy topicbase:api/stream_receipts to pg
-- requires: base/message_ids
-- requires: tables/device_integrations
-- requires: tables/mqtt_publish_receipts
-- requires: tables/queues
-- requires: tables/stream_cursors
-- requires: topics/filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.queued_receipts(organization_id uuid, since timestamptz, seen xid, most integer) RETURNS SETOF mqtt.mqtt_publish_receipts
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_receipt mqtt.mqtt_publish_receipts;
BEGIN
    -- Into a row, and not as one: a column that a later release adds to the receipts is null here until this is reworked.
    IF seen IS NOT NULL THEN
        FOR v_receipt IN
            SELECT
                q.enqueued_at, NULL, q.organization_id, coalesce(q.receipt_id, mqtt.keyed_message_id(q.enqueued_at, -q.msg_id, k.key)), q.integration_id,
                coalesce((q.message ->> 'qos')::smallint, 0::smallint), q.attempts, NULL, 'queued', q.message ->> 'topic', NULL
            FROM pgmq.q_mqtt_outbound AS q
            CROSS JOIN mqtt.message_id_key AS k
            -- Transactions are dated from their beginning, and numbered from their first change.
            WHERE q.enqueued_at >= since - '10 seconds'::interval AND q.organization_id = queued_receipts.organization_id AND age(q.xmin) <= age(seen)
        LOOP
            RETURN NEXT v_receipt;
        END LOOP;
        RETURN;
    END IF;
    FOR v_receipt IN
        SELECT
            q.enqueued_at, NULL, q.organization_id, coalesce(q.receipt_id, mqtt.keyed_message_id(q.enqueued_at, -q.msg_id, k.key)), q.integration_id,
            coalesce((q.message ->> 'qos')::smallint, 0::smallint), q.attempts, NULL, 'queued', q.message ->> 'topic', NULL
        FROM mqtt.device_integrations AS i
        CROSS JOIN LATERAL (
            SELECT x.* FROM pgmq.q_mqtt_outbound AS x WHERE x.integration_id = i.id ORDER BY x.vt, x.msg_id LIMIT most
        ) AS q
        CROSS JOIN mqtt.message_id_key AS k
        WHERE i.organization_id = queued_receipts.organization_id
        ORDER BY q.vt, q.msg_id
        LIMIT most
    LOOP
        RETURN NEXT v_receipt;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.queued_receipts(uuid, timestamptz, xid, integer) IS
'Messages of an organization that wait to be published, as receipts in the state queued: those that were queued since a time, or up to ten seconds before it, and written since a transaction, or where that is null the first so many that are due.';

CREATE OR REPLACE FUNCTION mqtt.stream_receipts(organizations integer [], since timestamptz [], seen text, filters text [], most integer)
RETURNS TABLE (
    organization integer, id uuid, integration_id uuid, body text, settled_at timestamptz, matched integer [], cursor text, at timestamptz,
    snapshot_xmin text, next_xid text
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_seen CONSTANT xid := stream_receipts.seen::xid8::xid;
    v_since CONSTANT timestamptz := (SELECT min(s.at) FROM unnest(stream_receipts.since) AS s (at));
BEGIN
    RETURN QUERY
    WITH wanted AS MATERIALIZED (
        SELECT o.id, o.number, w.since
        FROM unnest(organizations, stream_receipts.since) AS w (number, since)
        JOIN mqtt.organizations AS o ON o.number = w.number
    ),
    found AS (
        SELECT w.number, q.* FROM wanted AS w CROSS JOIN LATERAL mqtt.queued_receipts(w.id, w.since, v_seen, most) AS q
        UNION ALL
        (
            SELECT w.number, r.*
            FROM mqtt.mqtt_publish_receipts AS r
            JOIN wanted AS w ON w.id = r.organization_id
            WHERE r.settled_at >= v_since AND r.settled_at >= w.since AND (v_seen IS NULL OR age(r.xmin) <= age(v_seen))
            ORDER BY r.settled_at
            LIMIT most
        )
    )
    SELECT
        f.number, f.id, f.integration_id,
        json_build_object(
            'receipt_id', f.id, 'state', f.state, 'organization_id', f.organization_id, 'integration_id', f.integration_id, 'topic', f.topic,
            'qos', f.qos, 'attempts', f.attempts, 'reason_code', f.reason_code, 'reason', f.reason, 'queued_at', f.queued_at, 'settled_at', f.settled_at
        )::text,
        f.settled_at, ARRAY(
            SELECT p.n::integer
            FROM unnest(filters) WITH ORDINALITY AS p (filter, n)
            CROSS JOIN LATERAL mqtt.topic_filter_levels(p.filter) AS l
            WHERE mqtt.matched_levels(f.topic, l.topic_like, l.topic_levels) IS NOT NULL
        ),
        NULL::text, NULL::timestamptz, NULL::text, NULL::text
    FROM found AS f
    UNION ALL
    SELECT
        w.number, NULL, NULL, NULL, NULL, NULL,
        mqtt.stream_cursor(w.number, floor(extract(EPOCH FROM coalesce(w.since, statement_timestamp())) * 1000000)::bigint, 0, -1, 0, now()),
        statement_timestamp(), pg_snapshot_xmin(s.snapshot)::text, (pg_snapshot_xmax(s.snapshot)::text::bigint + age(pg_snapshot_xmax(s.snapshot)::xid))::text
    FROM wanted AS w
    -- What runs may be numbered above its `xmax`, which goes by transactions that have ended; age() goes by all that have begun.
    CROSS JOIN pg_current_snapshot() AS s (snapshot)
    ORDER BY 5, 2;
END;
$$;
COMMENT ON FUNCTION mqtt.stream_receipts(integer [], timestamptz [], text, text [], integer) IS
'Receipts that were settled since a time, one for each organization, and written since a snapshot, and messages that are queued, each with the places of the topic filters that its topic matches: the queued ones, so many at most, and the first so many that are settled. Last, for each organization a row without id: a cursor from which to read all this again, the time, the first transaction that may still run, and the first that has not begun.';
GRANT EXECUTE ON FUNCTION mqtt.stream_receipts(integer [], timestamptz [], text, text [], integer) TO topicbase_stream;
COMMIT;
