-- Deploy topicbase:maintenance/retention to pg
-- requires: tables/ingest_keys
-- requires: tables/integration_activity_log
-- requires: tables/mqtt_callbacks
-- requires: tables/mqtt_dead_letters
-- requires: tables/mqtt_publish_receipts
-- requires: tables/mqtt_requests
-- requires: tenants/longest_term
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.trim_rows(target regclass, time_column text, term text, most integer, OUT removed bigint, OUT is_more boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_longest CONSTANT integer := mqtt.longest_term(term);
    v_organizations CONSTANT integer := 500;
    v_default text := (SELECT k.relname FROM pg_catalog.pg_class AS k WHERE k.oid = target) || '_default';
    v_organization_id uuid;
    v_before timestamptz;
    v_share bigint;
    v_until timestamptz;
    v_rows bigint;
BEGIN
    -- The partitions go by the longest term. Left are what the default one holds,
    EXECUTE format('SELECT max(x.t) FROM (SELECT %I AS t FROM mqtt.%I WHERE %1$I < $1 ORDER BY %1$I LIMIT $2) AS x', time_column, v_default)
    INTO v_until USING now() - make_interval(days => v_longest), most;
    EXECUTE format('DELETE FROM mqtt.%I WHERE %I <= $1', v_default, time_column) USING v_until;
    GET DIAGNOSTICS removed = ROW_COUNT;
    is_more := removed >= most;
    -- and organizations with a shorter term: each its share, in an order by chance, so that none is always the last.
    FOR v_organization_id, v_before, v_share IN EXECUTE format(
        'SELECT o.id, now() - make_interval(days => coalesce(o.%1$I, c.%1$I)) AS before, greatest(100, $2 / count(*) OVER ()) AS share '
        'FROM mqtt.organizations AS o CROSS JOIN mqtt.configuration AS c WHERE coalesce(o.%1$I, c.%1$I) < $1 ORDER BY random() LIMIT $3', term
    ) USING v_longest, most, v_organizations LOOP
        EXIT WHEN removed >= most;
        v_share := least(v_share, most - removed);
        -- By time, and not row by row: a join might be planned so that it reads all for each.
        EXECUTE format(
            'SELECT max(x.t) FROM (SELECT %I AS t FROM %s WHERE organization_id = $1 AND %1$I < $2 ORDER BY %1$I LIMIT $3) AS x', time_column, target
        ) INTO v_until USING v_organization_id, v_before, v_share;
        CONTINUE WHEN v_until IS NULL;
        EXECUTE format('DELETE FROM %s WHERE organization_id = $1 AND %I <= $2', target, time_column) USING v_organization_id, v_until;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        is_more := is_more OR v_rows >= v_share;
        removed := removed + v_rows;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.trim_rows(regclass, text, text, integer) IS
'Deletes so many rows, and those of the same time, that are older than their organization''s term (a column of configuration and organizations, in days) and that no dropped partition takes along; returns how many, and whether there may be more.';

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
            -- What still waits after the longest term of the history has nothing left to post.
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
'Deletes at most so many message ids past their window, requests older than a day and callback deliveries past their term: {"idempotency_keys", "requests", "callbacks"}.';

CREATE OR REPLACE FUNCTION mqtt.cleanup(most integer DEFAULT 10000) RETURNS jsonb
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
    -- As mqtt.is_my_turn, but waiting: two at once would delete the same rows, each in an order of its own.
    PERFORM pg_advisory_xact_lock(1953460324, 0);
    SELECT jsonb_object_agg(t.kind, r.removed) || jsonb_build_object('receipts', 0), bool_or(r.is_more) INTO v_counts, v_is_more
    FROM (
        VALUES
        ('completed', 'mqtt.mqtt_messages', 'received_at', 'completed_days'),
        ('failed', 'mqtt.mqtt_dead_letters', 'failed_at', 'failed_days'),
        ('activity', 'mqtt.integration_activity_log', 'created_at', 'activity_days')
    ) AS t (kind, target, time_column, term)
    CROSS JOIN LATERAL mqtt.trim_rows(t.target::regclass, t.time_column, t.term, most) AS r;
    v_small := mqtt.trim_small_tables(10 * most);
    v_is_more := v_is_more OR EXISTS (SELECT FROM jsonb_each_text(v_small) AS s WHERE s.value::bigint >= 10 * most);
    v_counts := v_counts || v_small;
    WITH expired AS (
        SELECT t.place, t.kind, e.partition, e.row_count
        FROM (
            -- The busiest last: it is locked until the end of the transaction.
            VALUES
            (1, 'receipts', 'mqtt.mqtt_publish_receipts', (SELECT c.receipt_days FROM mqtt.configuration AS c)),
            (2, 'failed', 'mqtt.mqtt_dead_letters', mqtt.longest_term('failed_days')),
            (3, 'activity', 'mqtt.integration_activity_log', mqtt.longest_term('activity_days')),
            (4, 'completed', 'mqtt.mqtt_messages', mqtt.longest_term('completed_days'))
        ) AS t (place, kind, parent, days)
        CROSS JOIN LATERAL mqtt.expired_partitions(t.parent::regclass, t.days) AS e
    )
    SELECT
        coalesce((SELECT jsonb_object_agg(k.kind, k.n) FROM (SELECT e.kind, sum(e.row_count) AS n FROM expired AS e GROUP BY e.kind) AS k), '{}'),
        coalesce((SELECT array_agg(e.partition ORDER BY e.place, e.partition) FROM expired AS e), '{}')
    INTO v_expired, v_partitions;
    -- Whoever reads a table for hours (a dump, say) must not keep the rest of this from being done.
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
COMMENT ON FUNCTION mqtt.cleanup(integer) IS
'Removes what is past its term: bounded batches (most rows of a table, ten times as many of the small ones; "more" when there may be more), then whole partitions, unless somebody has a lock on their table ("postponed"). Returns the rows that went, by kind.';
COMMIT;
