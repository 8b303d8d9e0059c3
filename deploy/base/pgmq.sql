-- Deploy topicbase:base/pgmq to pg
-- requires: base/schemas
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT
    to_regclass('pgmq.meta') IS NOT NULL AS is_present,
    EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pgmq') AS is_extension
\gset pgmq_
\if :pgmq_is_present
    \echo pgmq is already in this database and is used as it is.
\elif :pgmq_is_extension
    CREATE EXTENSION pgmq;
    -- The revert drops only what came from here.
    COMMENT ON EXTENSION pgmq IS 'Message queues, installed for topicbase';
\else
    -- TOPICBASE_PGMQ_SQL names the file, else the Python on PATH is asked where the package put it.
    \set find_pgmq 'import importlib.resources as r; print(r.files("pgmq") / "sql/pgmq.sql")'
    \setenv FIND_PGMQ :find_pgmq
    \set pgmq_sql `echo "${TOPICBASE_PGMQ_SQL:-$(python3 -c "$FIND_PGMQ" 2>/dev/null)}"`
    SELECT :'pgmq_sql' <> '' AS is_found
    \gset pgmq_
    \if :pgmq_is_found
        \i :pgmq_sql
        COMMENT ON SCHEMA pgmq IS 'Message queues, installed for topicbase';
    \else
        DO $$
        BEGIN
            RAISE EXCEPTION 'pgmq_missing' USING
                DETAIL = 'The server has no pgmq extension, and no Python package pgmq was found.',
                HINT = 'Run: pip install --no-deps pgmq (then deploy again), or set TOPICBASE_PGMQ_SQL to the path of its pgmq.sql.';
        END;
        $$;
    \endif
\endif
-- The plain SQL file leaves EXECUTE with PUBLIC; our queues are for mqtt_owner's functions alone.
REVOKE ALL ON SCHEMA pgmq FROM public;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgmq FROM public;
REVOKE ALL ON ALL TABLES IN SCHEMA pgmq FROM public;
-- CREATE, since a deploying role that is no superuser hands the queues to mqtt_owner.
GRANT USAGE, CREATE ON SCHEMA pgmq TO mqtt_owner;
COMMIT;
