-- Every PL/pgSQL function through plpgsql_check: errors, warnings, security. Skipped where the server has no plpgsql_check.
\set QUIET on
SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'plpgsql_check') AS has_checker \gset
\if :has_checker
    -- Version 2.8 wants to be there before the session's first function in PL/pgSQL.
    LOAD 'plpgsql_check';
\endif
\ir setup.psql
SELECT plan(2);
\if :has_checker
    CREATE EXTENSION IF NOT EXISTS plpgsql_check SCHEMA tap;
    -- With columns more in each table, so that an error may also be that a function returns a table's rows column by column (added_columns.sql).
    \ir widen.psql
    -- A trigger that only some partitions have for a time is checked as if it were the history's.
    CREATE TEMPORARY TABLE finding AS
    SELECT p.oid::regprocedure::text AS function, c.level, c.sqlstate, c.message, c.lineno
    FROM pg_catalog.pg_proc AS p
    INNER JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
    LEFT JOIN LATERAL (SELECT min(t.tgrelid) AS tgrelid, min(t.tgoldtable) AS gone FROM pg_catalog.pg_trigger AS t WHERE t.tgfoid = p.oid) AS t ON true
    CROSS JOIN LATERAL tap.plpgsql_check_function_tb(
        p.oid, coalesce(t.tgrelid, CASE WHEN p.prorettype = 'trigger'::regtype THEN 'mqtt.history'::regclass ELSE 0 END), oldtable => t.gone, other_warnings => true, performance_warnings => false, extra_warnings => true, security_warnings => true
    ) AS c
    WHERE p.pronamespace IN ('api'::regnamespace, 'mqtt'::regnamespace, 'bridge'::regnamespace);
    -- limit is what everyone calls it, and JSON needs no quotes; a literal is cast to the variable's type; trim_rows and trim_range name their table at run time;
    -- begin_attempt ends in a loop without end, protobuf_layout in a call that raises; brokers send arguments that nobody needs.
    DELETE FROM finding AS f
    WHERE f.message LIKE 'name of parameter "limit" is reserved%' OR f.sqlstate = '42804' OR f.function LIKE 'mqtt.trim\_r%'
        OR (f.function ~ '^mqtt\.(begin_attempt|protobuf_layout)\(' AND f.sqlstate = '2F005')
        OR (f.function ~ '^api\.(rabbitmq|emqx)_' AND f.message LIKE 'unused parameter%');
    -- Since 2.10: format() is STABLE for the sake of types whose text depends on settings, and is given none of them; these read a size or the
    -- clock, or set a header of the answer or a setting of the planner, and change no data.
    DELETE FROM finding AS f
    WHERE f.message = 'routine is marked as IMMUTABLE, but expression is STABLE'
        OR (f.message = 'routine is marked as STABLE, but expression is VOLATILE' AND f.function ~ '^(api\.(emqx_authorize|openapi)|mqtt\.(expired_partitions|plain_verdict|queue_depth|messages))\(');
    -- It is so because of the columns added here; bin/lint's check tells it of the tables as they are.
    DELETE FROM finding AS f WHERE f.message = 'too few attributes for composite variable';
    SELECT is_empty($$SELECT * FROM finding WHERE level = 'error'$$, 'no errors');
    SELECT is_empty($$SELECT * FROM finding WHERE level <> 'error'$$, 'no warnings');
\else
    SELECT skip('the server has no plpgsql_check', 2);
\endif
SELECT * FROM finish();
ROLLBACK;
