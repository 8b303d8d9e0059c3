-- Attaches an archive, made by archive.sql, to a Topicbase database; docs/how-to/scale.md says how, and what for.
--   psql -X -v host=… -v port=… -v dbname=… -v password=… -f packaging/citus/attach.sql    as a superuser
-- It waits for nobody longer than 5 s: where a lock is not to be had, nothing is done, and it can be run again.
-- mqtt.packs gets a child, a foreign table. Whatever reads packs reads both, below the same policies; what writes them writes here.
\set ON_ERROR_STOP on
\set QUIET on
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL lock_timeout = '5s';
CREATE SCHEMA archive;
CREATE EXTENSION IF NOT EXISTS postgres_fdw SCHEMA public;
CREATE SERVER topicbase_archive FOREIGN DATA WRAPPER postgres_fdw OPTIONS (
    host :'host', port :'port', dbname :'dbname', fetch_size '500', connect_timeout '5', tcp_user_timeout '10000', application_name 'topicbase archive'
);
-- Nobody else has USAGE on the server, so nobody else sees the password or makes foreign tables.
CREATE USER MAPPING FOR PUBLIC SERVER topicbase_archive OPTIONS (USER 'topicbase_archive', PASSWORD :'password');
CREATE FOREIGN TABLE archive.packs () INHERITS (mqtt.packs) SERVER topicbase_archive OPTIONS (schema_name 'archive', table_name 'packs', batch_size '50', truncatable 'false');
CREATE TABLE archive.runs (
    run integer PRIMARY KEY,
    source_run integer NOT NULL,
    day date NOT NULL,
    state text NOT NULL DEFAULT 'copying' CHECK (state IN ('copying', 'copied', 'archived')),
    last_number bigint NOT NULL DEFAULT 0,
    pack_count bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    copied_at timestamptz,
    archived_at timestamptz
);
COMMENT ON TABLE archive.runs IS
'Days whose packs are in the archive, or on their way there. copying, copied: readers see the packs of source_run, here; archived: those of run, there.';
CREATE OR REPLACE VIEW mqtt.unread_runs WITH (security_invoker = true) AS
SELECT d.run FROM mqtt.packed_days AS d WHERE d.state = 'packing'
UNION ALL
SELECT r.run FROM archive.runs AS r WHERE r.state <> 'archived';
CREATE OR REPLACE VIEW mqtt.days_in_packs WITH (security_invoker = true) AS
SELECT d.day FROM mqtt.packed_days AS d WHERE d.state <> 'packing'
UNION ALL
(SELECT 'infinity'::date FROM ONLY mqtt.packs AS p WHERE p.run = 0 LIMIT 1)
UNION ALL
SELECT r.day FROM archive.runs AS r;
GRANT USAGE ON SCHEMA archive TO authenticated, service_role;
GRANT SELECT ON archive.runs TO authenticated, service_role;

CREATE FUNCTION archive.keep_together() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM archive.runs AS r WHERE r.run = NEW.run AND r.state = 'archived') THEN
        RETURN NEW;
    END IF;
    INSERT INTO archive.packs SELECT NEW.*;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION archive.keep_together() IS
'Trigger: what is left of a pack of the archive goes there again. So it is written by the transaction there that deletes the pack: nothing is lost if the one here fails after it.';
CREATE TRIGGER keep_together BEFORE INSERT ON mqtt.packs FOR EACH ROW EXECUTE FUNCTION archive.keep_together();
\ir work.sql
ALTER SCHEMA archive OWNER TO mqtt_owner;
ALTER FOREIGN TABLE archive.packs OWNER TO mqtt_owner;
ALTER TABLE archive.runs OWNER TO mqtt_owner;
DO $$
DECLARE
    v_routine regprocedure;
BEGIN
    FOR v_routine IN SELECT p.oid FROM pg_proc AS p WHERE p.pronamespace = 'archive'::regnamespace LOOP
        EXECUTE format('ALTER ROUTINE %s OWNER TO mqtt_owner', v_routine);
    END LOOP;
END;
$$;
REVOKE ALL ON ALL ROUTINES IN SCHEMA archive FROM public;
COMMIT;
