-- Deploy topicbase:maintenance/retention to pg
-- requires: base/locks
-- requires: tables/ingest_keys
-- requires: tables/integration_activity_log
-- requires: tables/ledger
-- requires: tables/mqtt_callbacks
-- requires: tables/mqtt_dead_letters
-- requires: tables/mqtt_publish_receipts
-- requires: tables/mqtt_requests
-- requires: tables/queues
-- requires: tables/reading_rows
-- requires: tables/rollups
-- requires: tables/settlements
-- requires: tenants/longest_retention
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.unsettled_since(before timestamptz, organization_id uuid DEFAULT NULL) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT min(q.enqueued_at)
        FROM pgmq.q_mqtt_messages AS q
        WHERE q.organization IS NOT NULL AND q.enqueued_at < before
            AND (unsettled_since.organization_id IS NULL OR q.organization_id = unsettled_since.organization_id)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.unsettled_since(timestamptz, uuid) IS
'When the first messages were accepted, before then, of which the history has to keep the rows because a work item stands for them; null when there are none.';

CREATE OR REPLACE FUNCTION mqtt.trim_rows(target regclass, time_column text, owner_column text, term text, most integer, OUT removed bigint, OUT is_more boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_longest CONSTANT integer := mqtt.longest_term(term);
    v_organizations CONSTANT integer := 500;
    v_default text := (SELECT k.relname FROM pg_catalog.pg_class AS k WHERE k.oid = target) || '_default';
    v_organization_id uuid;
    v_key text;
    v_trimmed_to timestamptz;
    v_before timestamptz := now() - make_interval(days => v_longest);
    v_share bigint;
    v_until timestamptz;
    v_rows bigint;
BEGIN
    -- Whole partitions are dropped by the longest term. That leaves the rows of the default partition,
    EXECUTE format('SELECT max(x.t) FROM (SELECT %I AS t FROM mqtt.%I WHERE %1$I < $1 ORDER BY %1$I LIMIT $2) AS x', time_column, v_default)
    INTO v_until USING CASE
        WHEN target = 'mqtt.history'::regclass THEN least(v_before, mqtt.unsettled_since(v_before)) ELSE v_before
    END, most;
    EXECUTE format('DELETE FROM mqtt.%I WHERE %I <= $1', v_default, time_column) USING v_until;
    GET DIAGNOSTICS removed = ROW_COUNT;
    is_more := removed >= most;
    -- and organizations with a shorter term: each gets its share, in random order, so that none is always last.
    FOR v_organization_id, v_key, v_trimmed_to, v_before, v_share IN EXECUTE format(
        'SELECT o.id, CASE $4 WHEN ''organization'' THEN o.number::text ELSE o.id::text END AS key, '
        'CASE WHEN $5 THEN coalesce(o.history_trimmed_to, ''-infinity'') ELSE ''-infinity'' END AS trimmed_to, '
        'now() - make_interval(days => coalesce(o.%1$I, c.%1$I)) AS before, greatest(100, $2 / count(*) OVER ()) AS share '
        'FROM mqtt.organizations AS o CROSS JOIN mqtt.configuration AS c WHERE coalesce(o.%1$I, c.%1$I) < $1 ORDER BY random() LIMIT $3', term
    ) USING v_longest, most, v_organizations, owner_column, target = 'mqtt.history'::regclass LOOP
        EXIT WHEN removed >= most;
        v_share := least(v_share, most - removed);
        IF target = 'mqtt.history'::regclass THEN
            -- What the worker has yet to read stays.
            v_before := least(v_before, mqtt.unsettled_since(v_before, v_organization_id));
        END IF;
        -- By time, not row by row: a join might get a plan that reads the whole table for each row.
        EXECUTE format(
            'SELECT max(x.t) FROM (SELECT %I AS t FROM %s WHERE %I = %L AND %1$I >= $1 AND %1$I < $2 ORDER BY %1$I LIMIT $3) AS x',
            time_column, target, owner_column, v_key
        ) INTO v_until USING v_trimmed_to, v_before, v_share;
        v_rows := 0;
        IF v_until IS NOT NULL THEN
            EXECUTE format('DELETE FROM %s WHERE %I = %L AND %I >= $1 AND %4$I <= $2', target, owner_column, v_key, time_column)
            USING v_trimmed_to, v_until;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            is_more := is_more OR v_rows >= v_share;
            removed := removed + v_rows;
        END IF;
        -- An hour behind: of what is stored later than that, its partition takes care.
        IF target = 'mqtt.history'::regclass AND v_rows < v_share AND v_before - interval '2 hours' > v_trimmed_to THEN
            UPDATE mqtt.organizations AS o SET history_trimmed_to = v_before - interval '1 hour' WHERE o.id = v_organization_id;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.trim_rows(regclass, text, text, text, integer) IS
'Deletes rows that are older than the term of their organization (owner_column: organization_id, or organization for its number) (the name of a column of configuration and organizations, in days) and that no dropped partition removes: at most this many, plus those with the same time as the last. Returns how many, and whether there may be more.';

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
'Deletes message ids past their window, requests older than a day and callback deliveries past their term, at most this many of each: {"idempotency_keys", "requests", "callbacks"}.';

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

CREATE OR REPLACE FUNCTION mqtt.apply_retention(most integer DEFAULT 10000) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_counts jsonb;
    v_small jsonb;
    v_is_more boolean;
    v_expired jsonb;
    v_partitions regclass [];
    v_postponed text;
BEGIN
    -- The lock of mqtt.try_maintenance_lock, but waiting for it: two calls at once would delete the same rows in different orders.
    PERFORM pg_advisory_xact_lock(mqtt.maintenance_lock(), 0);
    PERFORM mqtt.note_retention();
    SELECT jsonb_object_agg(t.kind, r.removed) || jsonb_build_object('receipts', 0), bool_or(r.is_more) INTO v_counts, v_is_more
    FROM (
        VALUES
        ('completed', 'mqtt.history', 'received_at', 'organization', 'completed_days'),
        ('readings', 'mqtt.reading_rows', 'received_at', 'organization', 'completed_days'),
        ('failed', 'mqtt.mqtt_dead_letters', 'failed_at', 'organization_id', 'failed_days'),
        ('activity', 'mqtt.integration_activity_log', 'created_at', 'organization_id', 'activity_days')
    ) AS t (kind, target, time_column, owner_column, term)
    CROSS JOIN LATERAL mqtt.trim_rows(t.target::regclass, t.time_column, t.owner_column, t.term, most) AS r;
    v_small := mqtt.trim_small_tables(10 * most);
    v_is_more := v_is_more OR EXISTS (SELECT FROM jsonb_each_text(v_small) AS s WHERE s.value::bigint >= 10 * most);
    v_counts := v_counts || v_small;
    WITH expired AS (
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
        -- While the worker has yet to read some of it, none of it goes.
        WHERE t.kind <> 'completed' OR mqtt.unsettled_since(now() - make_interval(days => t.days)) IS NULL
    )
    SELECT
        coalesce((SELECT jsonb_object_agg(k.kind, k.n) FROM (SELECT e.kind, sum(e.row_count) AS n FROM expired AS e GROUP BY e.kind) AS k), '{}'),
        coalesce((SELECT array_agg(e.partition ORDER BY e.place, e.partition) FROM expired AS e), '{}')
    INTO v_expired, v_partitions;
    -- A session that reads a table for hours (a dump, for example) must not prevent the rest of this.
    BEGIN
        PERFORM mqtt.drop_partitions(v_partitions);
    EXCEPTION WHEN lock_not_available THEN
        v_expired := '{}';
        v_postponed := SQLERRM;
    END;
    RETURN (
        SELECT jsonb_object_agg(c.key, c.value::bigint + coalesce((v_expired ->> c.key)::bigint, 0)) FROM jsonb_each_text(v_counts) AS c
    ) || jsonb_build_object('more', v_is_more) || CASE WHEN v_postponed IS NULL THEN '{}' ELSE jsonb_build_object('postponed', v_postponed) END;
END;
$$;
COMMENT ON FUNCTION mqtt.apply_retention(integer) IS
'Removes data past its retention: first bounded batches (at most this many rows of a table, ten times as many of the small tables; "more" tells whether there may be more), then whole partitions, unless another session has locked their table ("postponed"). Returns the number of rows removed, by kind.';
COMMIT;
