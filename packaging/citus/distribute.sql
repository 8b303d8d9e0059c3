-- Spreads the history of a deployed database over the nodes of a Citus cluster, by organization; docs/how-to/scale.md says when and with what limits.
--   psql -X -f packaging/citus/distribute.sql               prints the statements
--   psql -X -v apply=1 -f packaging/citus/distribute.sql    runs them in one transaction, as a superuser, on the coordinator
-- No function is changed. Rows that are there already are moved; do it while the bridge is stopped.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
BEGIN;
SET LOCAL search_path = pg_catalog, public;
\ir placement.sql
\if :{?apply}
DO $$
BEGIN
    IF to_regproc('create_distributed_table') IS NULL THEN
        RAISE EXCEPTION 'This database has no Citus.' USING HINT = 'CREATE EXTENSION citus, and add the workers with citus_add_node.';
    END IF;
    -- Without it there are no reference tables on the coordinator, and so no foreign keys from its own tables to them.
    IF NOT EXISTS (SELECT FROM pg_dist_node AS n WHERE n.groupid = 0) THEN
        RAISE EXCEPTION 'The coordinator is not in pg_dist_node.' USING
            HINT = 'SELECT citus_set_coordinator_host(''coordinator.example'', 5432); with the name and port by which the workers reach it.';
    END IF;
END;
$$;
SELECT d.statement FROM distribution AS d ORDER BY d.place \gexec
\else
SELECT d.statement || ';' FROM distribution AS d ORDER BY d.place;
\endif
COMMIT;
