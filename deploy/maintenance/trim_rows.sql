-- Deploy topicbase:maintenance/trim_rows to pg
-- requires: maintenance/failures
-- requires: tables/history
-- requires: tables/queues
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

CREATE OR REPLACE FUNCTION mqtt.has_unsettled(since timestamptz, before timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM pgmq.q_mqtt_messages AS q
        WHERE q.organization IS NOT NULL AND q.enqueued_at >= since AND q.enqueued_at < before
    );
END;
$$;
COMMENT ON FUNCTION mqtt.has_unsettled(timestamptz, timestamptz) IS 'Whether work items stand for messages of that time.';

CREATE OR REPLACE FUNCTION mqtt.trimmed_until(before timestamptz, organization_id uuid DEFAULT NULL) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN least(before, (
        SELECT q.enqueued_at
        FROM pgmq.q_mqtt_messages AS q
        WHERE q.organization IS NOT NULL AND q.enqueued_at < before
            AND (trimmed_until.organization_id IS NULL OR q.organization_id = trimmed_until.organization_id)
        ORDER BY q.enqueued_at OFFSET 1000 LIMIT 1
    ));
END;
$$;
COMMENT ON FUNCTION mqtt.trimmed_until(timestamptz, uuid) IS
'Up to when retention deletes history rows one by one: before, or, where so many work items stand for older messages that most rows are theirs, up to the 1,001st of these.';

CREATE OR REPLACE FUNCTION mqtt.trim_condition(owner text [], before timestamptz, spares_items boolean) RETURNS text
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN owner[2] IS NULL THEN '' ELSE format(' AND r.%I = %L', owner[1], owner[2]) END
        || CASE
            WHEN spares_items AND mqtt.unsettled_since(before) IS NOT NULL
                THEN ' AND NOT EXISTS (SELECT FROM pgmq.q_mqtt_messages AS q WHERE q.organization IS NOT NULL AND q.enqueued_at = r.received_at'
                    ' AND q.organization = r.organization)'
            ELSE ''
        END;
END;
$$;
COMMENT ON FUNCTION mqtt.trim_condition(text [], timestamptz, boolean) IS 'Which rows mqtt.trim_range deletes, besides their time. owner: column and key; key null for all.';

CREATE OR REPLACE FUNCTION mqtt.trim_range(
    target regclass, time_column text, owner_column text, owner_key text, since timestamptz, before timestamptz, most bigint, spares_items boolean
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Quoted where they are used, which plpgsql_check does not see of text variables.
    v_owner CONSTANT text [] := ARRAY[owner_column, owner_key];
    v_until timestamptz;
    v_rows bigint := 0;
BEGIN
    -- By time, not row by row: a join might get a plan that reads the whole table for each row.
    EXECUTE format(
        'SELECT max(x.t) FROM (SELECT r.%I AS t FROM %s AS r WHERE true%s AND r.%1$I >= $1 AND r.%1$I < $2 ORDER BY r.%1$I LIMIT $3) AS x',
        time_column, target, mqtt.trim_condition(v_owner, before, spares_items)
    ) INTO v_until USING since, before, most;
    IF v_until IS NOT NULL THEN
        EXECUTE format(
            'DELETE FROM %s AS r WHERE true%s AND r.%I >= $1 AND r.%3$I <= $2', target, mqtt.trim_condition(v_owner, before, spares_items), time_column
        ) USING since, v_until;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
    END IF;
    RETURN v_rows;
END;
$$;
COMMENT ON FUNCTION mqtt.trim_range(regclass, text, text, text, timestamptz, timestamptz, bigint, boolean) IS
'Deletes the rows of that time, of one owner or of all, but those that work items stand for if these are to be spared: at most this many, plus those with the same time as the last. Returns how many.';

CREATE OR REPLACE FUNCTION mqtt.retention_subject(target regclass, owner_key text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN target || coalesce(
        ' of organization ' || CASE WHEN owner_key ~ '^[0-9]+$' THEN (SELECT o.id::text FROM mqtt.organizations AS o WHERE o.number = owner_key::integer) ELSE owner_key END,
        ''
    );
END;
$$;
COMMENT ON FUNCTION mqtt.retention_subject(regclass, text) IS 'The subject of a failure of retention: a table or a partition, or a part of it, of the organization of that id or number.';

CREATE OR REPLACE FUNCTION mqtt.try_trim_range(
    target regclass, time_column text, owner_column text, owner_key text, since timestamptz, before timestamptz, most bigint, spares_items boolean
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_subject CONSTANT text := mqtt.retention_subject(target, owner_key);
    v_rows bigint;
BEGIN
    IF mqtt.must_wait('retention', v_subject) THEN
        RETURN NULL;
    END IF;
    v_rows := mqtt.trim_range(target, time_column, owner_column, owner_key, since, before, most, spares_items);
    PERFORM mqtt.note_success('retention', v_subject);
    RETURN v_rows;
EXCEPTION
    -- OTHERS does not include the time limit.
    WHEN query_canceled OR OTHERS THEN
        PERFORM mqtt.note_failure('retention', v_subject, SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.try_trim_range(regclass, text, text, text, timestamptz, timestamptz, bigint, boolean) IS
'mqtt.trim_range in a subtransaction; null if it failed, which is noted, or has to wait (mqtt.must_wait).';

CREATE OR REPLACE FUNCTION mqtt.trim_partitions(target regclass, before timestamptz, most bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_history CONSTANT boolean := target = 'mqtt.history'::regclass;
    v_before CONSTANT timestamptz := CASE WHEN v_is_history THEN mqtt.trimmed_until(before) ELSE before END;
    v_partition regclass;
    v_removed bigint := 0;
BEGIN
    FOR v_partition IN
        SELECT format('mqtt.%I', (SELECT k.relname FROM pg_catalog.pg_class AS k WHERE k.oid = target) || '_default')::regclass
        UNION ALL
        SELECT r.partition
        FROM mqtt.partition_ranges(target) AS r
        WHERE r.first_at < v_before AND (
            -- A default partition that was adopted.
            r.end_at > r.first_at + interval '1 day' OR v_is_history AND r.end_at <= before AND mqtt.has_unsettled(r.first_at, r.end_at)
        )
    LOOP
        EXIT WHEN v_removed >= most;
        v_removed := v_removed + coalesce(
            mqtt.try_trim_range(v_partition, mqtt.partition_column(target), NULL, NULL, '-infinity', v_before, most - v_removed, v_is_history), 0
        );
    END LOOP;
    RETURN v_removed;
END;
$$;
COMMENT ON FUNCTION mqtt.trim_partitions(regclass, timestamptz, bigint) IS
'Deletes the rows older than that from partitions that are not dropped when their day has expired: the default one, those of several days, and such as have messages that work items stand for, which stay. Returns how many, at most so many as mqtt.trim_range says.';

CREATE OR REPLACE FUNCTION mqtt.trim_rows(target regclass, time_column text, owner_column text, term text, most integer, OUT removed bigint, OUT is_more boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_longest CONSTANT integer := mqtt.longest_term(term);
    v_is_history CONSTANT boolean := target = 'mqtt.history'::regclass;
    v_organizations CONSTANT integer := 500;
    v_organization_id uuid;
    v_key text;
    v_trimmed_to timestamptz;
    v_before timestamptz;
    v_share bigint;
    v_rows bigint;
BEGIN
    -- Whole partitions are dropped by the longest term. That leaves the rows of some partitions,
    removed := mqtt.trim_partitions(target, now() - make_interval(days => v_longest), most);
    is_more := removed >= most;
    -- and organizations with a shorter term: each gets its share, in random order, so that none is always last.
    FOR v_organization_id, v_key, v_trimmed_to, v_before, v_share IN EXECUTE format(
        'SELECT o.id, CASE $4 WHEN ''organization'' THEN o.number::text ELSE o.id::text END AS key, '
        'CASE WHEN $5 THEN coalesce(o.history_trimmed_to, ''-infinity'') ELSE ''-infinity'' END AS trimmed_to, '
        'now() - make_interval(days => coalesce(o.%1$I, c.%1$I)) AS before, greatest(100, $2 / count(*) OVER ()) AS share '
        'FROM mqtt.organizations AS o CROSS JOIN mqtt.configuration AS c WHERE coalesce(o.%1$I, c.%1$I) < $1 ORDER BY random() LIMIT $3', term
    ) USING v_longest, most, v_organizations, owner_column, v_is_history LOOP
        EXIT WHEN removed >= most;
        v_share := least(v_share, most - removed);
        IF v_is_history THEN
            v_before := mqtt.trimmed_until(v_before, v_organization_id);
        END IF;
        v_rows := mqtt.try_trim_range(target, time_column, owner_column, v_key, v_trimmed_to, v_before, v_share, v_is_history);
        EXIT WHEN v_rows IS NULL AND mqtt.is_timed_out();
        CONTINUE WHEN v_rows IS NULL;
        is_more := is_more OR v_rows >= v_share;
        removed := removed + v_rows;
        -- An hour behind: of what is stored later than that, its partition takes care. What the worker has yet to read comes again.
        v_before := least(v_before - interval '1 hour', mqtt.unsettled_since(v_before, v_organization_id));
        IF v_is_history AND v_rows < v_share AND v_before - interval '1 hour' > v_trimmed_to THEN
            UPDATE mqtt.organizations AS o SET history_trimmed_to = v_before WHERE o.id = v_organization_id;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.trim_rows(regclass, text, text, text, integer) IS
'Deletes rows that are older than the term of their organization (owner_column: organization_id, or organization for its number) (the name of a column of configuration and organizations, in days) and that no dropped partition removes: at most this many, plus those with the same time as the last. Returns how many, and whether there may be more.';
COMMIT;
