-- Deploy topicbase:base/plpython to pg
-- requires: base/verify_helpers
-- Optional: where the server has no PL/Python, or the deploying role is no superuser, the change says so and leaves it out.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT
    current_setting('is_superuser')::boolean AND EXISTS (
        SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'plpython3u' AND installed_version IS NULL
    ) AS installable \gset
\if :installable
DO $$
BEGIN
    CREATE EXTENSION plpython3u;
    -- The revert drops the extension only where this line says that it came from here.
    COMMENT ON EXTENSION plpython3u IS 'PL/Python3U untrusted procedural language, installed for topicbase';
-- Listed is not loadable: its library may lack the Python that it was built with, or the server forbid it.
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'plpython3u cannot be created: %', SQLERRM;
END;
$$;
\endif

SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.plpython_obstacle(module text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_language WHERE lanname = 'plpython3u') THEN
        IF EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'plpython3u') THEN
            RETURN 'this database has no PL/Python: a superuser runs CREATE EXTENSION plpython3u, which says why if it cannot be created';
        END IF;
        RETURN format(
            'the server has no PL/Python: install it (Debian: postgresql-plpython3-%s)', current_setting('server_version_num')::integer / 10000
        );
    END IF;
    IF NOT current_setting('is_superuser')::boolean THEN
        RETURN 'only a superuser creates functions in PL/Python';
    END IF;
    EXECUTE format('DO LANGUAGE plpython3u %L', coalesce('import ' || quote_ident(module), 'pass'));
    RETURN NULL;
EXCEPTION
    WHEN external_routine_exception THEN
        RETURN format('the server''s Python does not import %s (%s): install it (Debian: python3-%1$s)', module, sqlerrm);
    -- The language outlives its library: a package removed, a data directory that another server starts.
    WHEN undefined_file OR internal_error THEN
        RETURN format('the server does not load PL/Python (%s)', sqlerrm);
END;
$$;
COMMENT ON FUNCTION mqtt.plpython_obstacle(text) IS
'Why the caller cannot create functions in PL/Python that import the module, in words; null when they can.';
RESET ROLE;

DO $$
DECLARE
    v_obstacle CONSTANT text := mqtt.plpython_obstacle();
BEGIN
    IF v_obstacle IS NOT NULL THEN
        RAISE NOTICE 'The parts in PL/Python are left out, since %', v_obstacle USING
            DETAIL = 'CBOR and MessagePack payloads are kept byte for byte and flagged; secrets of brokers must be sealed by the caller.',
            HINT = 'To add them later, as superuser: cat deploy/base/plpython.sql deploy/base/py_*.sql | psql.';
    END IF;
END;
$$;
COMMIT;
