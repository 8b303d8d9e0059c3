-- Deploy topicbase:roles to pg
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
-- A web request or a bridge call that waits for ever is worse than one that fails with a clear error.
ALTER ROLE anon SET statement_timeout = '10s';
ALTER ROLE anon SET lock_timeout = '3s';
ALTER ROLE authenticated SET statement_timeout = '20s';
ALTER ROLE authenticated SET lock_timeout = '3s';
ALTER ROLE service_role SET statement_timeout = '60s';
ALTER ROLE service_role SET lock_timeout = '5s';
COMMIT;
