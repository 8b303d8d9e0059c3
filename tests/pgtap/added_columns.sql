-- A next release may add a column to any table: PostgreSQL lets it, and the functions that take or return the table's rows work on before they
-- are reworked. (plpgsql_check.sql has the functions in PL/pgSQL.)
\ir setup.psql
SELECT plan(3);
\ir widen.psql
SELECT is_empty('SELECT * FROM refused', 'no table refuses a column');
SELECT cmp_ok((SELECT count(*)::integer FROM pg_catalog.pg_attribute WHERE attname = 'added_default' AND NOT attisdropped), '>', 50, 'they are all asked');

-- What CREATE FUNCTION would say of them now: such a function that returns a table's rows column by column lacks one, and ends in an error when called.
CREATE TEMPORARY TABLE broken (name text, message text);
DO $$
DECLARE
    v_function oid;
BEGIN
    FOR v_function IN
        SELECT p.oid
        FROM pg_catalog.pg_proc AS p
        JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang AND l.lanname = 'sql'
        WHERE p.pronamespace::regnamespace::text IN ('api', 'mqtt', 'bridge', 'broker', 'readings')
    LOOP
        BEGIN
            PERFORM pg_catalog.fmgr_sql_validator(v_function);
        EXCEPTION
            WHEN OTHERS THEN
                INSERT INTO broken VALUES (v_function::regprocedure::text, sqlerrm);
        END;
    END LOOP;
END;
$$;
SELECT is_empty('SELECT * FROM broken', 'functions in SQL, also those whose body is stored parsed');
SELECT * FROM finish();
ROLLBACK;
