-- Deploy topicbase:maintenance/drop_packed_rows to pg
-- requires: maintenance/failures
-- requires: tables/packs
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.is_seen_by_all(transaction xid8, since timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A server that does not let this role look at sessions: any that may still have an older snapshot is assumed to end within a day.
    IF NOT pg_has_role('mqtt_owner', 'pg_read_all_stats', 'member') AND since > now() - interval '1 day' THEN
        RETURN false;
    END IF;
    RETURN NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_stat_activity AS a
        WHERE (a.datname = current_database() OR a.backend_type = 'walsender') AND a.pid <> pg_backend_pid()
            -- Nobody reads an answer from what that sees.
            AND a.backend_type <> 'autovacuum worker'
            AND age(a.backend_xmin) >= age(transaction::xid)
    ) AND NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots AS s WHERE age(s.xmin) >= age(transaction::xid));
END;
$$;
COMMENT ON FUNCTION mqtt.is_seen_by_all(xid8, timestamptz) IS
'Whether no snapshot is left, here or on a standby that reports its own, that was taken before a transaction (which ended at since) was done.';

CREATE OR REPLACE FUNCTION mqtt.drop_packed_rows() RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_day date;
    v_partition regclass;
BEGIN
    SELECT d.day, r.partition INTO v_day, v_partition
    FROM mqtt.packed_days AS d
    LEFT JOIN mqtt.partition_ranges('mqtt.history') AS r
        ON r.first_at = d.day::timestamp AT TIME ZONE 'UTC' AND r.end_at = (d.day + 1)::timestamp AT TIME ZONE 'UTC'
    WHERE d.state = 'packed' AND mqtt.is_seen_by_all(d.packed_by, d.packed_at) AND NOT mqtt.must_wait('packed_rows', d.day::text)
    ORDER BY d.day
    LIMIT 1;
    IF NOT found THEN
        RETURN NULL;
    END IF;
    UPDATE mqtt.packed_days AS d SET state = 'dropped' WHERE d.day = v_day;
    IF v_partition IS NOT NULL THEN
        PERFORM mqtt.drop_partitions(ARRAY[v_partition]);
    END IF;
    PERFORM mqtt.note_success('packed_rows', v_day::text);
    RETURN v_day;
EXCEPTION
    WHEN lock_not_available THEN
        RETURN NULL;
    -- OTHERS does not include the time limit. The next call takes another day.
    WHEN query_canceled OR OTHERS THEN
        PERFORM mqtt.note_failure('packed_rows', coalesce(v_day::text, ''), SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.drop_packed_rows() IS
'Drops the partition of the history of the first packed day whose rows nobody sees any longer; returns the day, or null if there is none, its lock is not to be had, or it failed, which is noted. The history is locked from then on: it comes last in a transaction.';
COMMIT;
