-- Deploy topicbase:base/roles to pg
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
-- Roles are cluster-wide: created where missing, never dropped, so that several databases may share them.
DO $$
DECLARE
    v_role record;
BEGIN
    FOR v_role IN
        SELECT *
        FROM (VALUES
            ('mqtt_owner', 'NOLOGIN'),
            ('anon', 'NOLOGIN'),
            ('authenticated', 'NOLOGIN'),
            ('service_role', 'NOLOGIN BYPASSRLS'),
            ('authenticator', 'LOGIN NOINHERIT'),
            ('mqtt_bridge', 'LOGIN')
        ) AS r (name, attributes)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = v_role.name) THEN
            EXECUTE format('CREATE ROLE %I %s', v_role.name, v_role.attributes);
        END IF;
    END LOOP;
    -- The deploying role creates objects as mqtt_owner, so it must be able to become it.
    IF NOT pg_catalog.pg_has_role(current_user, 'mqtt_owner', 'member') THEN
        EXECUTE format('GRANT mqtt_owner TO %I', current_user);
    END IF;
END;
$$;
GRANT anon, authenticated, service_role TO authenticator;
-- To tell for how long a session of another role has held back vacuum (mqtt.vacuum_holders); without, it tells by transactions only.
DO $$
BEGIN
    IF NOT pg_catalog.pg_has_role('mqtt_owner', 'pg_read_all_stats', 'member') THEN
        GRANT pg_read_all_stats TO mqtt_owner;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'mqtt_owner does not become a member of pg_read_all_stats: %', SQLERRM;
END;
$$;
-- Settings of the roles that log in hold whatever they become afterwards.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['authenticator', 'mqtt_bridge'] LOOP
        -- Parameters carry devices' passwords, in a request's headers: whatever the server logs, it logs without them. Needs a superuser, or a
        -- grant by one; without, the server's own configuration has to say so.
        IF pg_catalog.has_parameter_privilege(current_user, 'log_parameter_max_length', 'set') THEN
            EXECUTE format('ALTER ROLE %I SET log_parameter_max_length = 0', v_role);
            -- And without the context of an error, which quotes the JSON that cannot be read: a request's headers or its body.
            EXECUTE format('ALTER ROLE %I SET log_error_verbosity = terse', v_role);
        END IF;
        EXECUTE format('ALTER ROLE %I SET log_parameter_max_length_on_error = 0', v_role);
        -- Compiling costs more than it saves on short queries over many partitions.
        EXECUTE format('ALTER ROLE %I SET jit = off', v_role);
    END LOOP;
END;
$$;
-- A web request or a bridge call that waits for ever is worse than one that fails with a clear error. PostgREST reads
-- what is set for the role of a request (db-config); where it does not, its own login's bounds hold.
ALTER ROLE authenticator SET statement_timeout = '60s';
ALTER ROLE authenticator SET lock_timeout = '5s';
ALTER ROLE anon SET statement_timeout = '10s';
ALTER ROLE anon SET lock_timeout = '3s';
ALTER ROLE authenticated SET statement_timeout = '20s';
ALTER ROLE authenticated SET lock_timeout = '3s';
ALTER ROLE service_role SET statement_timeout = '60s';
ALTER ROLE service_role SET lock_timeout = '5s';
COMMIT;
