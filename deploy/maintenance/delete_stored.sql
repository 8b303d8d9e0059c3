-- Deploy topicbase:maintenance/delete_stored to pg
-- requires: process/split_items
-- requires: tables/deletions
-- requires: tables/history
-- requires: tables/ledger
-- requires: tables/reading_rows
-- requires: topics/filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.leaf_tables(target regclass) RETURNS SETOF regclass
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT x.relid
    FROM (
        SELECT t.relid FROM pg_partition_tree(target) AS t WHERE t.isleaf
        UNION
        SELECT k.oid::regclass FROM pg_catalog.pg_class AS k WHERE k.oid = target AND k.relkind = 'r'
    ) AS x
    ORDER BY x.relid::text;
$$;
COMMENT ON FUNCTION mqtt.leaf_tables(regclass) IS 'The partitions of a table, or the table itself, in a fixed order.';

CREATE OR REPLACE FUNCTION mqtt.delete_stored(deletion mqtt.deletions, leaf regclass, is_history boolean, most integer) RETURNS mqtt.deleted_row []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_gone mqtt.deleted_row [];
BEGIN
    -- By row address within one partition, where it is unique; by topic, as an index has them, whoever else's rows the partition has.
    EXECUTE format(
        'WITH gone AS (DELETE FROM %1$s AS h WHERE h.ctid = ANY (ARRAY('
        'SELECT y.address FROM mqtt.topics AS t CROSS JOIN mqtt.topic_filter_levels($4) AS l CROSS JOIN LATERAL ('
        'SELECT x.ctid AS address FROM %1$s AS x WHERE x.topic = t.number AND x.%2$I >= $5 AND x.%2$I < $6 AND x.received_at < $7%4$s LIMIT $8 OFFSET 0) AS y '
        'WHERE t.organization_id = $1 AND ($2 IS NULL OR t.integration_id = $2) AND ($3 IS NULL OR t.device_id = $3) '
        'AND ($4 IS NULL OR mqtt.matched_levels(t.topic, l.topic_like, l.topic_levels) IS NOT NULL) LIMIT $8)) RETURNING ROW(h.topic, h.received_at, h.measured_at, h.id, %3$s)::mqtt.deleted_row AS r) SELECT array_agg(g.r) FROM gone AS g',
        leaf, CASE WHEN deletion.by_received THEN 'received_at' ELSE 'measured_at' END,
        CASE WHEN is_history THEN 'true, h.flags & 264 = 0, h.flags & 72 = 0' ELSE 'false, false, true' END,
        -- What the worker has yet to settle comes in a later pass.
        CASE WHEN is_history AND deletion.kind <> 'organization' THEN ' AND NOT mqtt.is_pending(x.position)' ELSE '' END
    ) INTO v_gone USING deletion.organization_id, deletion.integration_id, deletion.device_id, deletion.filter,
        deletion.since, deletion.until, CASE deletion.kind WHEN 'messages' THEN deletion.requested_at ELSE 'infinity' END, most;
    RETURN coalesce(v_gone, '{}');
END;
$$;
COMMENT ON FUNCTION mqtt.delete_stored(mqtt.deletions, regclass, boolean, integer) IS
'Deletes what a deletion selects from a partition of the history, or of mqtt.reading_rows: at most this many rows, which it returns.';

CREATE OR REPLACE FUNCTION mqtt.delete_dead_letters(deletion mqtt.deletions, leaf regclass, most integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_deleted integer;
BEGIN
    EXECUTE format(
        'DELETE FROM %1$s AS h WHERE h.ctid = ANY (ARRAY(SELECT x.ctid FROM %1$s AS x CROSS JOIN mqtt.topic_filter_levels($4) AS l '
        'WHERE x.organization_id = $1 AND ($2 IS NULL OR x.integration_id = $2) AND ($4 IS NULL OR mqtt.matched_levels(x.topic, l.topic_like, l.topic_levels) IS NOT NULL) '
        'AND ($3 IS NULL OR x.topic = ANY (ARRAY(SELECT t.topic FROM mqtt.topics AS t WHERE t.organization_id = $1 AND t.device_id = $3))) '
        'AND x.received_at >= $5 AND x.received_at < $6 AND x.received_at < $7 LIMIT $8))', leaf
    ) USING deletion.organization_id, deletion.integration_id, deletion.device_id, deletion.filter,
        deletion.since, deletion.until, deletion.requested_at, most;
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    RETURN v_deleted;
END;
$$;
COMMENT ON FUNCTION mqtt.delete_dead_letters(mqtt.deletions, regclass, integer) IS
'Deletes the dead letters that a deletion selects, by when they were received, from a partition: at most this many; returns how many. Those of a device are those to its topics.';

CREATE OR REPLACE FUNCTION mqtt.is_queued_before(organization_id uuid, at timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM pgmq.q_mqtt_messages AS q WHERE q.organization_id = is_queued_before.organization_id AND q.enqueued_at < at);
END;
$$;
COMMENT ON FUNCTION mqtt.is_queued_before(uuid, timestamptz) IS 'Whether messages of an organization that were accepted before are still queued.';

CREATE OR REPLACE FUNCTION mqtt.delete_queued(organization_id uuid, most integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    v_deleted integer;
BEGIN
    WITH gone AS (
        DELETE FROM pgmq.q_mqtt_messages AS q
        WHERE q.ctid = ANY (ARRAY(SELECT x.ctid FROM pgmq.q_mqtt_messages AS x WHERE x.organization_id = delete_queued.organization_id LIMIT most))
        RETURNING date_trunc('minute', q.enqueued_at) AS minute, q.message_count
    ),
    counted AS (
        INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, expired)
        SELECT delete_queued.organization_id, g.minute, mqtt.ledger_level_outcomes(), sum(g.message_count)
        FROM gone AS g
        GROUP BY g.minute
        ORDER BY g.minute
        ON CONFLICT ON CONSTRAINT ledger_pkey DO UPDATE SET expired = l.expired + excluded.expired
    )
    SELECT count(*) INTO v_deleted FROM gone;
    RETURN v_deleted;
END;
$$;
COMMENT ON FUNCTION mqtt.delete_queued(uuid, integer) IS
'Deletes queued messages of an organization, at most this many, and counts them as expired; returns how many.';
COMMIT;
