-- What each role that logs in, or that a login may become, may not do: asked of the catalogue, so that no role that comes later is left out.
\ir setup.psql
\ir ../../packaging/restrict-public.sql
SELECT plan(9);
CREATE TEMPORARY VIEW login AS
SELECT r.rolname::text COLLATE "default" AS name, r.*
FROM pg_catalog.pg_roles AS r
WHERE NOT r.rolsuper AND r.rolname !~ '^pg_' AND r.rolname <> 'mqtt_owner' AND (
    r.rolname = 'authenticator' OR EXISTS (
        SELECT FROM pg_catalog.pg_namespace AS n WHERE n.nspname IN ('api', 'mqtt', 'bridge', 'broker', 'readings') AND has_schema_privilege(r.oid, n.oid, 'usage')
    )
);
SELECT is(
    (SELECT array_agg(l.name ORDER BY l.name) FROM login AS l),
    '{anon,authenticated,authenticator,emqx_reader,go_auth_reader,mqtt_bridge,rabbitmq_reader,service_role,topicbase_reader,topicbase_stream,vernemq_reader}'::text [], 'the roles'
);
SELECT is_empty(
    $$SELECT l.name FROM login AS l WHERE l.rolcreaterole OR l.rolcreatedb OR l.rolreplication OR (l.rolbypassrls AND l.name <> 'service_role')$$,
    'no attribute beyond logging in'
);
SELECT set_eq(
    $$SELECT l.name, m.roleid::regrole::text COLLATE "default" FROM login AS l JOIN pg_catalog.pg_auth_members AS m ON m.member = l.oid ORDER BY 1, 2$$,
    $$VALUES ('authenticator', 'anon'), ('authenticator', 'authenticated'), ('authenticator', 'service_role')$$,
    'a member of no other role: neither mqtt_owner nor one of PostgreSQL''s own'
);
SELECT is_empty(
    $$SELECT l.name, n.nspname FROM login AS l CROSS JOIN pg_catalog.pg_namespace AS n
    WHERE n.nspname !~ '^pg_(temp|toast)' AND n.nspname <> 'tap' AND has_schema_privilege(l.oid, n.oid, 'create')
    UNION ALL SELECT l.name, 'the database' FROM login AS l WHERE has_database_privilege(l.oid, current_database(), 'create')$$,
    'creates nothing'
);
SELECT set_eq(
    $$SELECT l.name, c.relnamespace::regnamespace::text COLLATE "default", string_agg(DISTINCT p.name, ' ' ORDER BY p.name)
    FROM login AS l
    CROSS JOIN pg_catalog.pg_class AS c
    CROSS JOIN unnest('{select,insert,update,delete,truncate,references,trigger}'::text []) AS p (name)
    WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND c.relnamespace::regnamespace::text !~ '^(pg_|information_schema|tap)'
        AND (has_table_privilege(l.oid, c.oid, p.name)
            OR CASE WHEN p.name IN ('select', 'insert', 'update', 'references') THEN has_any_column_privilege(l.oid, c.oid, p.name) END)
    GROUP BY 1, 2 ORDER BY 1, 2$$,
    $$VALUES ('authenticated', 'api', 'select'), ('authenticated', 'mqtt', 'delete insert select update'), ('emqx_reader', 'broker', 'select'),
        ('go_auth_reader', 'broker', 'select'), ('rabbitmq_reader', 'broker', 'select'), ('service_role', 'api', 'select'),
        ('service_role', 'mqtt', 'delete insert select update'), ('topicbase_reader', 'readings', 'select'), ('vernemq_reader', 'broker', 'select')$$,
    'a broker reads its views, the bridge and a request without a token no table'
);
SELECT set_eq(
    $$SELECT DISTINCT l.name, p.pronamespace::regnamespace::text COLLATE "default"
    FROM login AS l
    CROSS JOIN pg_catalog.pg_proc AS p
    WHERE p.pronamespace::regnamespace::text !~ '^(pg_|information_schema|tap|public$)' AND has_schema_privilege(l.oid, p.pronamespace, 'usage')
        AND has_function_privilege(l.oid, p.oid, 'execute')
    ORDER BY 1, 2$$,
    $$VALUES ('anon', 'api'), ('anon', 'mqtt'), ('authenticated', 'api'), ('authenticated', 'mqtt'), ('mqtt_bridge', 'bridge'), ('service_role', 'api'),
        ('service_role', 'mqtt'), ('topicbase_reader', 'readings'), ('topicbase_stream', 'mqtt')$$,
    'a broker calls nothing, the bridge only what is made for it'
);
SELECT is_empty(
    $$SELECT l.name, p.oid::regprocedure
    FROM login AS l
    CROSS JOIN pg_catalog.pg_proc AS p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND has_function_privilege(l.oid, p.oid, 'execute')
        AND (p.proname ~ 'advisory|^lo_(creat|create|from_bytea|import|export)$'
            OR p.proname ~ '^pg_(read_(binary_)?file|ls_.*|stat_file|reload_conf|rotate_logfile|switch_wal|promote|create_restore_point|backup_.*)$')$$,
    'no advisory lock, no large object, no file of the server'
);
SELECT is_empty(
    $$SELECT l.name FROM login AS l WHERE l.name ~ 'reader$' AND has_database_privilege(l.oid, current_database(), 'temporary')$$,
    'whoever only reads makes no temporary table'
);
SELECT is_empty(
    $$SELECT l.name, s.name
    FROM login AS l
    CROSS JOIN unnest('{log_parameter_max_length,log_parameter_max_length_on_error}'::text []) AS s (name)
    WHERE l.name NOT IN ('anon', 'authenticated', 'service_role', 'topicbase_reader') AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_db_role_setting AS d
        WHERE d.setrole = l.oid AND s.name || '=0' = ANY (d.setconfig)
            AND d.setdatabase = (SELECT b.oid FROM pg_catalog.pg_database AS b WHERE b.datname = current_database())
    )$$,
    'parameters of whoever logs in are not logged: they carry devices'' passwords'
);
SELECT * FROM finish();
ROLLBACK;
