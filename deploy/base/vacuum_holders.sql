-- Deploy topicbase:base/vacuum_holders to pg
-- requires: base/configuration
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.vacuum_holders(older_than interval DEFAULT NULL) RETURNS TABLE (
    kind text, pid integer, name text, state text, held_seconds integer, transactions integer
)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH holders AS (
        SELECT
            'session' AS kind, a.pid, concat_ws(' ', a.usename, nullif(a.application_name, '')) AS name, a.state, a.xact_start AS since,
            greatest(age(a.backend_xmin), age(a.backend_xid)) AS transactions
        FROM pg_catalog.pg_stat_activity AS a
        -- A transaction of another database holds nothing back here; that of a standby does everywhere. Vacuum itself does not count.
        WHERE (a.datname = current_database() OR a.backend_type = 'walsender') AND a.backend_type <> 'autovacuum worker'
            AND a.pid <> pg_backend_pid()
        UNION ALL
        SELECT 'prepared transaction', NULL, concat_ws(' ', p.owner, p.gid), 'prepared', p.prepared, age(p.transaction)
        FROM pg_catalog.pg_prepared_xacts AS p
        WHERE p.database = current_database()
        UNION ALL
        SELECT
            'replication slot', s.active_pid, s.slot_name::text, CASE WHEN s.active THEN 'active' ELSE 'inactive' END, NULL,
            greatest(age(s.xmin), age(s.catalog_xmin))
        FROM pg_catalog.pg_replication_slots AS s
    )
    SELECT h.kind, h.pid, h.name, h.state, extract(epoch FROM clock_timestamp() - h.since)::integer, h.transactions
    FROM holders AS h
    CROSS JOIN mqtt.configuration AS c
    -- Slots, and sessions that this role may not look at, tell no time: a million transactions are long.
    WHERE h.transactions IS NOT NULL
        AND coalesce(
            h.since < clock_timestamp() - coalesce(vacuum_holders.older_than, c.vacuum_alarm_after),
            h.transactions > 1000000 OR vacuum_holders.older_than = '0'
        )
    ORDER BY h.transactions DESC, h.since;
$$;
COMMENT ON FUNCTION mqtt.vacuum_holders(interval) IS
'Sessions, prepared transactions and replication slots that have kept vacuum from removing dead rows for longer than that (default: configuration.vacuum_alarm_after); the worst first.';
COMMIT;
