-- Deploy topicbase:bridge/diagnose to pg
-- requires: base/vacuum_holders
-- requires: bridge/status
-- requires: tables/maintenance_failures
-- requires: tables/rollups
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
-- Which changes are deployed, and from which scripts: nothing else of sqitch's registry.
DO $$
BEGIN
    IF to_regclass('sqitch.changes') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA sqitch TO mqtt_owner;
        GRANT SELECT (project, change, script_hash, committed_at) ON sqitch.changes TO mqtt_owner;
    END IF;
END;
$$;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.surplus_privileges(role name) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT unnest(array_remove(ARRAY[
        CASE WHEN r.rolsuper THEN 'is a superuser' END,
        CASE WHEN r.rolbypassrls THEN 'has BYPASSRLS' END,
        CASE WHEN r.rolcreaterole THEN 'has CREATEROLE' END,
        CASE WHEN r.rolcreatedb THEN 'has CREATEDB' END,
        CASE WHEN r.rolreplication THEN 'has REPLICATION' END
    ], NULL))
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname = surplus_privileges.role
    UNION ALL
    SELECT format('is a member of %I', g.rolname)
    FROM pg_catalog.pg_auth_members AS m
    JOIN pg_catalog.pg_roles AS g ON g.oid = m.roleid
    JOIN pg_catalog.pg_roles AS r ON r.oid = m.member AND r.rolname = surplus_privileges.role
    UNION ALL
    SELECT format('may use table %I.%I', n.nspname, c.relname)
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('api', 'mqtt', 'pgmq', 'bridge') AND c.relkind IN ('r', 'p', 'v', 'm')
        AND (has_table_privilege(role, c.oid, 'select, insert, update, delete, truncate') OR has_any_column_privilege(role, c.oid, 'select, insert, update'))
    UNION ALL
    SELECT format('may call %s', p.oid::regprocedure)
    FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('api', 'mqtt', 'pgmq') AND has_schema_privilege(role, n.oid, 'usage') AND has_function_privilege(role, p.oid, 'execute');
$$;
COMMENT ON FUNCTION mqtt.surplus_privileges(name) IS 'What a bridge''s role can do beyond calling the functions of schema bridge, each in words; there should be no rows.';

CREATE OR REPLACE FUNCTION mqtt.days_without_partition() RETURNS TABLE (parent text, days_ahead integer, in_default bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        k.relname::text,
        (
            SELECT max(to_date(right(c.relname, 8), 'YYYYMMDD')) - (now() AT TIME ZONE 'UTC')::date
            FROM pg_catalog.pg_inherits AS i
            JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
            WHERE i.inhparent = k.oid AND c.relname ~ '_[0-9]{8}$'
        ),
        (
            SELECT greatest(pg_stat_get_live_tuples(c.oid), 0)
            FROM pg_catalog.pg_class AS c
            WHERE c.relnamespace = k.relnamespace AND c.relname = k.relname || '_default'
        )
    FROM pg_catalog.pg_partitioned_table AS p
    JOIN pg_catalog.pg_class AS k ON k.oid = p.partrelid AND k.relnamespace = 'mqtt'::regnamespace
    ORDER BY k.relname;
$$;
COMMENT ON FUNCTION mqtt.days_without_partition() IS 'Each partitioned table: how many days ahead it has partitions, and about how many rows are in its default partition.';

CREATE OR REPLACE FUNCTION mqtt.maintenance_jobs() RETURNS integer
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_jobs integer;
BEGIN
    IF to_regnamespace('cron') IS NULL THEN
        RETURN 0;
    -- A name that may not be looked up is an error, so the schema comes first.
    ELSIF NOT has_schema_privilege('cron', 'usage') THEN
        RETURN NULL;
    ELSIF to_regclass('cron.job') IS NULL THEN
        RETURN 0;
    ELSIF NOT has_table_privilege('cron.job', 'select') THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT count(*) FROM %s AS j WHERE j.active AND j.command ~ $1', to_regclass('cron.job'))
    INTO v_jobs USING 'mqtt\.(run_maintenance|work_queue|process_batch|apply_retention)|api\.(process|cleanup)_mqtt_queue';
    RETURN v_jobs;
END;
$$;
COMMENT ON FUNCTION mqtt.maintenance_jobs() IS 'How many jobs of pg_cron do what the bridge does; null if mqtt_owner may not see them.';

CREATE OR REPLACE FUNCTION mqtt.deployed_changes() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_changes jsonb;
BEGIN
    -- A name that may not be looked up is an error, so the schema comes first.
    IF to_regnamespace('sqitch') IS NULL OR NOT has_schema_privilege('sqitch', 'usage') OR to_regclass('sqitch.changes') IS NULL
        OR NOT has_column_privilege('sqitch.changes', 'script_hash', 'select')
        OR NOT has_column_privilege('sqitch.changes', 'committed_at', 'select') THEN
        RETURN NULL;
    END IF;
    -- A change that was reworked is there more than once: the last one counts.
    EXECUTE 'SELECT coalesce(jsonb_object_agg(c.change, c.script_hash ORDER BY c.committed_at), $1) FROM sqitch.changes AS c WHERE c.project = $2'
    INTO v_changes USING '{}'::jsonb, 'topicbase';
    RETURN v_changes;
END;
$$;
COMMENT ON FUNCTION mqtt.deployed_changes() IS
'The changes of sqitch.plan that are deployed, with the hashes of their deploy scripts; null if sqitch''s registry is elsewhere or mqtt_owner may not see it.';

CREATE OR REPLACE FUNCTION mqtt.present_functions() RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_agg(jsonb_build_object(
        'name', n.nspname || '.' || p.proname,
        'signature', p.oid::regprocedure,
        'body', CASE WHEN p.prosqlbody IS NULL THEN md5(p.prosrc) END
    ))
    FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('api', 'mqtt', 'bridge', 'broker', 'readings')
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        );
$$;
COMMENT ON FUNCTION mqtt.present_functions() IS
'The functions in our schemas: name, signature, and MD5 of the body, which is null for a body that is stored parsed. topicbase doctor compares them with its release.';

CREATE OR REPLACE FUNCTION mqtt.archive_state() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_packs CONSTANT regclass := (
        SELECT c.oid
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = 'archive' AND c.relname = 'packs' AND c.relkind = 'f'
    );
BEGIN
    IF v_packs IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT FROM %s AS p WHERE p.number = 0', v_packs);
    RETURN '{"failure": null}';
-- 08: it is not reached; HV: it answers something else than postgres_fdw expects.
EXCEPTION
    WHEN connection_exception OR fdw_error OR insufficient_privilege OR undefined_table THEN
        RETURN jsonb_build_object('failure', SQLERRM);
END;
$$;
COMMENT ON FUNCTION mqtt.archive_state() IS
'Of an archive of packed days (packaging/citus): {"failure": why it does not answer, or null}; null if there is none.';

CREATE OR REPLACE FUNCTION mqtt.rollup_state() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('behind_seconds', coalesce(max(extract(EPOCH FROM p.closed_until - p.rolled_until)), 0)::bigint)
    FROM mqtt.rollup_progress AS p;
$$;
COMMENT ON FUNCTION mqtt.rollup_state() IS 'How rollups are: {"behind_seconds": how far any organization''s are}.';

CREATE OR REPLACE FUNCTION bridge.diagnose() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH s AS MATERIALIZED (SELECT bridge.status() AS status)
    SELECT jsonb_build_object(
        'schema_version', 1,
        'changes', mqtt.deployed_changes(),
        'functions', mqtt.present_functions(),
        'server_version', current_setting('server_version_num')::integer,
        'at', extract(EPOCH FROM clock_timestamp()),
        'role', session_user,
        'surplus_privileges', (SELECT coalesce(jsonb_agg(s), '[]') FROM mqtt.surplus_privileges(session_user) AS s),
        'missing_privileges', (
            SELECT coalesce(jsonb_agg(p.oid::regprocedure), '[]')
            FROM pg_catalog.pg_proc AS p
            WHERE p.pronamespace = 'bridge'::regnamespace AND p.prorettype <> 'trigger'::regtype
                AND NOT has_function_privilege(session_user, p.oid, 'execute')
        ),
        'pgmq', (SELECT e.extversion FROM pg_catalog.pg_extension AS e WHERE e.extname = 'pgmq'),
        'queues', (
            SELECT coalesce(jsonb_agg(c.relname ORDER BY c.relname), '[]')
            FROM pg_catalog.pg_class AS c
            WHERE c.relnamespace = to_regnamespace('pgmq') AND c.relname IN ('q_mqtt_messages', 'q_mqtt_outbound')
        ),
        'partitions', (SELECT jsonb_agg(to_jsonb(d)) FROM mqtt.days_without_partition() AS d),
        'codecs', (SELECT jsonb_agg(to_jsonb(c)) FROM mqtt.codecs() AS c),
        'maintenance_jobs', mqtt.maintenance_jobs(),
        'archive', mqtt.archive_state(),
        'rollups', mqtt.rollup_state(),
        'maintenance_failures', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('step', f.step, 'subject', f.subject, 'failures', f.failures, 'failure', f.failure) ORDER BY f.failures DESC), '[]')
            FROM mqtt.maintenance_failures AS f
        ),
        'waiting_seconds', (SELECT d.oldest_seconds FROM mqtt.queue_depths() AS d WHERE d.queue = 'ingest'),
        'vacuum_holders', (SELECT coalesce(jsonb_agg(to_jsonb(h)), '[]') FROM mqtt.vacuum_holders() AS h),
        'sees_all_sessions', pg_has_role('mqtt_owner', 'pg_read_all_stats', 'member'),
        'notify_queue_ratio', pg_notification_queue_usage(),
        'sealing', bridge.sealing_state(),
        'ingest_pause', c.ingest_pause,
        'publish_pause', c.publish_pause,
        'allow_private_addresses', c.allow_private_addresses,
        'live_bridges', (SELECT count(*) FROM jsonb_array_elements(s.status -> 'bridges') AS b WHERE (b ->> 'is_live')::boolean),
        'failing_integrations', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('organization', i -> 'organization', 'name', i -> 'name', 'reason', i -> 'reason')), '[]')
            FROM jsonb_array_elements(s.status -> 'integrations') AS i
            WHERE i ->> 'status' = 'error'
        )
    )
    FROM mqtt.configuration AS c
    CROSS JOIN s;
$$;
COMMENT ON FUNCTION bridge.diagnose() IS
'For topicbase doctor: versions, rights of the calling role, pgmq, partitions, keys, PL/Python, pg_cron, integrations in error, rollups, what maintenance could not do, and what holds vacuum back. It returns facts; topicbase doctor judges them.';
GRANT EXECUTE ON FUNCTION bridge.diagnose() TO mqtt_bridge;
COMMIT;
