-- Deploy topicbase:maintenance/retention to pg
-- requires: base/locks
-- requires: maintenance/check_ledger
-- requires: maintenance/failures
-- requires: maintenance/trim_rows
-- requires: maintenance/trim_small_tables
-- requires: tables/integration_activity_log
-- requires: tables/ledger
-- requires: tables/mqtt_dead_letters
-- requires: tables/mqtt_publish_receipts
-- requires: tables/reading_rows
-- requires: tables/rollups
-- requires: tables/settlements
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
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
    v_next record;
    v_subject text;
    v_removed jsonb := '{}';
    v_lacks bigint;
    v_lacking bigint;
    v_postponed text;
BEGIN
    FOR v_next IN SELECT e.* FROM mqtt.expired_days() AS e ORDER BY e.place, e.partition LOOP
        -- Its name, which is gone with it.
        v_subject := v_next.partition;
        CONTINUE WHEN mqtt.must_wait('retention', v_subject);
        BEGIN
            -- Of a partition of several days, rows were deleted one by one.
            v_lacks := (
                SELECT mqtt.count_lacking((r.first_at AT TIME ZONE 'UTC')::date, 'dropped')
                FROM mqtt.partition_ranges('mqtt.history') AS r
                WHERE r.partition = v_next.partition AND r.end_at = r.first_at + interval '24 hours'
            );
            PERFORM mqtt.drop_partitions(ARRAY[v_next.partition]);
            PERFORM mqtt.note_success('retention', v_subject);
            v_removed := v_removed || jsonb_build_object(v_next.kind, coalesce((v_removed ->> v_next.kind)::bigint, 0) + v_next.row_count);
            v_lacking := CASE WHEN v_lacks IS NULL THEN v_lacking ELSE coalesce(v_lacking, 0) + v_lacks END;
        EXCEPTION
            -- A session that reads a table for hours (a dump, for example) must not prevent the rest of retention.
            WHEN lock_not_available THEN
                v_postponed := SQLERRM;
                EXIT;
            WHEN query_canceled OR OTHERS THEN
                PERFORM mqtt.note_failure('retention', v_subject, SQLSTATE, SQLERRM);
        END;
    END LOOP;
    RETURN jsonb_strip_nulls(jsonb_build_object('removed', v_removed, 'lacking', v_lacking, 'postponed', v_postponed));
END;
$$;
COMMENT ON FUNCTION mqtt.drop_expired_days() IS
'Drops the partitions of mqtt.expired_days, each by itself: {"removed": rows by kind, "lacking": how many messages their days lacked (mqtt.count_lacking)}; when another session has locked a table, those that are left wait for the next call, and "postponed" says why.';

CREATE OR REPLACE FUNCTION mqtt.apply_retention(most integer DEFAULT 10000) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_counts jsonb;
    v_packed bigint;
    v_is_more boolean;
    v_expired jsonb;
BEGIN
    -- The lock of mqtt.try_maintenance_lock, but waiting for it: two calls at once would delete the same rows in different orders.
    PERFORM pg_advisory_xact_lock(mqtt.maintenance_lock(), 0);
    -- Of all organizations or none: rollups of what is removed below must not be made again.
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
    SELECT v_counts || (jsonb_object_agg(x.kind, x.removed) - 'others'), v_is_more OR v_packed >= most OR bool_or(x.removed >= 10 * most)
    INTO v_counts, v_is_more
    FROM (
        SELECT t.kind, sum(mqtt.try_retention(t.target::regclass, NULL, 10 * most))::bigint AS removed
        FROM (
            VALUES
            ('idempotency_keys', 'mqtt.ingest_keys'), ('requests', 'mqtt.mqtt_requests'), ('callbacks', 'mqtt.mqtt_callback_deliveries'),
            ('others', 'mqtt.retained_messages'), ('others', 'mqtt.ended_logins')
        ) AS t (kind, target)
        GROUP BY t.kind
    ) AS x;
    v_expired := mqtt.drop_expired_days();
    RETURN (
        SELECT jsonb_object_agg(c.key, c.value::bigint + coalesce((v_expired #>> ARRAY['removed', c.key])::bigint, 0)) FROM jsonb_each_text(v_counts) AS c
    ) || jsonb_build_object('more', v_is_more OR mqtt.is_timed_out()) || (v_expired - 'removed') || mqtt.failed_now('retention');
END;
$$;
COMMENT ON FUNCTION mqtt.apply_retention(integer) IS
'Removes data past its retention: first bounded batches (at most this many rows of a table, ten times as many of the small tables; "more" tells whether there may be more), then whole partitions, unless another session has locked their table ("postponed"). Returns the number of rows removed, by kind, how many messages the days lacked that were dropped ("lacking"), and in "retention_failed" which organizations'' part of a table, tables or partitions could not be (mqtt.failed_now), which are left out for a while.';
COMMIT;
