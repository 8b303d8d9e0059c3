-- Deploy topicbase:maintenance/retention to pg
-- requires: base/locks
-- requires: maintenance/check_ledger
-- requires: maintenance/trim_rows
-- requires: tables/ended_logins
-- requires: tables/ingest_keys
-- requires: tables/integration_activity_log
-- requires: tables/ledger
-- requires: tables/mqtt_callbacks
-- requires: tables/mqtt_dead_letters
-- requires: tables/mqtt_publish_receipts
-- requires: tables/mqtt_requests
-- requires: tables/reading_rows
-- requires: tables/retained_messages
-- requires: tables/rollups
-- requires: tables/settlements
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.trim_small_tables(most integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_keys bigint;
    v_requests bigint;
    v_callbacks bigint;
BEGIN
    -- By row address, which needs no join.
    DELETE FROM mqtt.ingest_keys AS k
    WHERE k.ctid = ANY (ARRAY(
        SELECT x.ctid FROM mqtt.ingest_keys AS x WHERE x.received_at < now() - (SELECT c.idempotency_window FROM mqtt.configuration AS c) LIMIT most
    ));
    GET DIAGNOSTICS v_keys = ROW_COUNT;
    DELETE FROM mqtt.mqtt_requests AS r
    WHERE r.ctid = ANY (ARRAY(SELECT x.ctid FROM mqtt.mqtt_requests AS x WHERE x.created_at < now() - interval '1 day' LIMIT most));
    GET DIAGNOSTICS v_requests = ROW_COUNT;
    DELETE FROM mqtt.retained_messages AS r
    WHERE r.ctid = ANY (ARRAY(
        SELECT x.ctid FROM mqtt.retained_messages AS x WHERE x.seen_at < now() - make_interval(days => mqtt.longest_term('completed_days')) LIMIT most
    ));
    DELETE FROM mqtt.ended_logins AS e WHERE e.ended_at < now() - interval '7 days';
    DELETE FROM mqtt.mqtt_callback_deliveries AS d
    WHERE d.ctid = ANY (ARRAY(
        SELECT x.address
        FROM mqtt.organizations AS o
        CROSS JOIN (SELECT c.receipt_days, mqtt.longest_term('completed_days') AS completed_days FROM mqtt.configuration AS c) AS t
        CROSS JOIN LATERAL (
            SELECT y.ctid AS address
            FROM mqtt.mqtt_callback_deliveries AS y
            -- A delivery that still waits after the longest term of the history has nothing left to post.
            WHERE y.organization_id = o.id AND y.created_at < now() - make_interval(days => t.receipt_days)
                AND (y.status <> 'waiting' OR y.created_at < now() - make_interval(days => t.completed_days))
            LIMIT most
        ) AS x
        LIMIT most
    ));
    GET DIAGNOSTICS v_callbacks = ROW_COUNT;
    RETURN jsonb_build_object('idempotency_keys', v_keys, 'requests', v_requests, 'callbacks', v_callbacks);
END;
$$;
COMMENT ON FUNCTION mqtt.trim_small_tables(integer) IS
'Deletes message ids past their window, requests older than a day, callback deliveries past their term, and what brokers have retained and not sent for the longest term of the history, at most this many of each: {"idempotency_keys", "requests", "callbacks"}.';

CREATE OR REPLACE FUNCTION mqtt.trim_packs(most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_messages bigint;
BEGIN
    WITH gone AS (
        -- An archive (packaging/citus) sees to its own.
        DELETE FROM ONLY mqtt.packs AS p
        WHERE p.ctid = ANY (ARRAY(
            SELECT x.address
            FROM mqtt.organizations AS o
            CROSS JOIN mqtt.configuration AS c
            CROSS JOIN LATERAL (
                SELECT y.ctid AS address
                FROM ONLY mqtt.packs AS y
                WHERE y.organization = o.number AND y.last_received_at < now() - make_interval(days => coalesce(o.completed_days, c.completed_days))
                    AND y.run <> ALL (ARRAY(SELECT u.run FROM mqtt.unread_runs AS u))
                LIMIT most
            ) AS x
            LIMIT most
        ))
        RETURNING p.message_count
    )
    SELECT coalesce(sum(g.message_count), 0) INTO v_messages FROM gone AS g;
    DELETE FROM mqtt.packed_days AS d
    WHERE d.state = 'dropped' AND d.day < (now() AT TIME ZONE 'UTC')::date - mqtt.longest_term('completed_days')
        AND NOT EXISTS (SELECT FROM ONLY mqtt.packs AS p WHERE p.run = d.run);
    RETURN v_messages;
END;
$$;
COMMENT ON FUNCTION mqtt.trim_packs(integer) IS
'Deletes packs all of whose messages are past the term of their organization, at most this many packs; returns how many messages those had.';

CREATE OR REPLACE FUNCTION mqtt.note_retention() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE mqtt.rollup_progress AS p
    SET raw_since = x.raw_since
    FROM (
        -- Whole hours, so that the row is not written every minute.
        SELECT o.id, date_trunc('hour', now() - make_interval(days => coalesce(o.completed_days, c.completed_days)), 'UTC') + interval '1 hour' AS raw_since
        FROM mqtt.organizations AS o
        CROSS JOIN mqtt.configuration AS c
    ) AS x
    WHERE p.organization_id = x.id AND p.raw_since < x.raw_since;
$$;
COMMENT ON FUNCTION mqtt.note_retention() IS 'Notes, before retention removes messages, that rollups of their time can no longer be made again.';

CREATE OR REPLACE FUNCTION mqtt.expired_days() RETURNS TABLE (place integer, kind text, partition regclass, row_count bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.place, t.kind, e.partition, e.row_count
    FROM (
        -- The busiest table comes last, because it stays locked until the end of the transaction.
        VALUES
        (1, 'receipts', 'mqtt.mqtt_publish_receipts', (SELECT c.receipt_days FROM mqtt.configuration AS c)),
        (2, 'settlements', 'mqtt.settlements', (SELECT c.settled_days FROM mqtt.configuration AS c)),
        (3, 'failed', 'mqtt.mqtt_dead_letters', mqtt.longest_term('failed_days')),
        (4, 'activity', 'mqtt.integration_activity_log', mqtt.longest_term('activity_days')),
        (5, 'readings', 'mqtt.reading_rows', mqtt.longest_term('completed_days')),
        (6, 'completed', 'mqtt.history', mqtt.longest_term('completed_days'))
    ) AS t (place, kind, parent, days)
    CROSS JOIN LATERAL mqtt.expired_partitions(t.parent::regclass, t.days) AS e
    JOIN mqtt.partition_ranges(t.parent::regclass) AS r ON r.partition = e.partition
    -- While the worker has yet to read some of a day, its partition stays; see mqtt.trim_partitions.
    WHERE t.kind <> 'completed' OR NOT mqtt.has_unsettled(r.first_at, r.end_at);
$$;
COMMENT ON FUNCTION mqtt.expired_days() IS 'Partitions that retention drops, the busiest table''s last (place), and their rows.';

CREATE OR REPLACE FUNCTION mqtt.drop_expired_days() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_removed jsonb;
    v_partitions regclass [];
    v_lacking bigint;
BEGIN
    WITH expired AS (
        SELECT e.* FROM mqtt.expired_days() AS e
    )
    SELECT
        coalesce((SELECT jsonb_object_agg(k.kind, k.n) FROM (SELECT e.kind, sum(e.row_count) AS n FROM expired AS e GROUP BY e.kind) AS k), '{}'),
        coalesce((SELECT array_agg(e.partition ORDER BY e.place, e.partition) FROM expired AS e), '{}')
    INTO v_removed, v_partitions;
    -- Of a partition of several days, rows were deleted one by one.
    v_lacking := (
        SELECT sum(mqtt.count_lacking((r.first_at AT TIME ZONE 'UTC')::date, 'dropped'))
        FROM mqtt.partition_ranges('mqtt.history') AS r
        WHERE r.partition = ANY (v_partitions) AND r.end_at = r.first_at + interval '24 hours'
    );
    PERFORM mqtt.drop_partitions(v_partitions);
    RETURN jsonb_strip_nulls(jsonb_build_object('removed', v_removed, 'lacking', v_lacking));
EXCEPTION
    -- A session that reads a table for hours (a dump, for example) must not prevent the rest of retention.
    WHEN lock_not_available THEN
        RETURN jsonb_build_object('removed', jsonb_build_object(), 'postponed', SQLERRM);
END;
$$;
COMMENT ON FUNCTION mqtt.drop_expired_days() IS
'Drops the partitions of mqtt.expired_days: {"removed": rows by kind, "lacking": how many messages their days lacked (mqtt.count_lacking)}, or, when another session has locked a table, nothing, and "postponed" says why.';

CREATE OR REPLACE FUNCTION mqtt.apply_retention(most integer DEFAULT 10000) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_counts jsonb;
    v_small jsonb;
    v_packed bigint;
    v_is_more boolean;
    v_expired jsonb;
BEGIN
    -- The lock of mqtt.try_maintenance_lock, but waiting for it: two calls at once would delete the same rows in different orders.
    PERFORM pg_advisory_xact_lock(mqtt.maintenance_lock(), 0);
    PERFORM mqtt.note_retention();
    SELECT jsonb_object_agg(x.kind, x.removed) - 'settlements', bool_or(x.is_more) INTO v_counts, v_is_more
    FROM (
        SELECT t.kind, r.*
        FROM (
            VALUES
            ('completed', 'mqtt.history', 'received_at', 'organization', 'completed_days'),
            ('readings', 'mqtt.reading_rows', 'received_at', 'organization', 'completed_days'),
            ('failed', 'mqtt.mqtt_dead_letters', 'failed_at', 'organization_id', 'failed_days'),
            ('activity', 'mqtt.integration_activity_log', 'created_at', 'organization_id', 'activity_days')
        ) AS t (kind, target, time_column, owner_column, term)
        CROSS JOIN LATERAL mqtt.trim_rows(t.target::regclass, t.time_column, t.owner_column, t.term, most) AS r
        UNION ALL
        SELECT t.kind, t.removed, t.removed >= most
        FROM mqtt.configuration AS c
        CROSS JOIN LATERAL (
            VALUES
            ('receipts', mqtt.trim_partitions('mqtt.mqtt_publish_receipts', now() - make_interval(days => c.receipt_days), most)),
            ('settlements', mqtt.trim_partitions('mqtt.settlements', now() - make_interval(days => c.settled_days), most))
        ) AS t (kind, removed)
    ) AS x;
    v_packed := mqtt.trim_packs(most);
    v_counts := v_counts || jsonb_build_object('completed', (v_counts ->> 'completed')::bigint + v_packed);
    v_is_more := v_is_more OR v_packed >= most;
    v_small := mqtt.trim_small_tables(10 * most);
    v_is_more := v_is_more OR EXISTS (SELECT FROM jsonb_each_text(v_small) AS s WHERE s.value::bigint >= 10 * most);
    v_counts := v_counts || v_small;
    v_expired := mqtt.drop_expired_days();
    RETURN (
        SELECT jsonb_object_agg(c.key, c.value::bigint + coalesce((v_expired #>> ARRAY['removed', c.key])::bigint, 0)) FROM jsonb_each_text(v_counts) AS c
    ) || jsonb_build_object('more', v_is_more) || (v_expired - 'removed');
END;
$$;
COMMENT ON FUNCTION mqtt.apply_retention(integer) IS
'Removes data past its retention: first bounded batches (at most this many rows of a table, ten times as many of the small tables; "more" tells whether there may be more), then whole partitions, unless another session has locked their table ("postponed"). Returns the number of rows removed, by kind, and how many messages the days lacked that were dropped ("lacking").';
COMMIT;
