-- Deploy topicbase:base/roles to pg
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
-- Roles are cluster-wide: created where missing, never dropped, so that several databases may share them. What the project created says so in
-- its comment; roles of others keep the attributes, settings and grants that they have, and get those grants alone that are missing.
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
            ('service_role', 'NOLOGIN'),
            ('authenticator', 'LOGIN NOINHERIT'),
            ('mqtt_bridge', 'LOGIN'),
            ('topicbase_stream', 'LOGIN')
        ) AS r (name, attributes)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = v_role.name) THEN
            EXECUTE format('CREATE ROLE %I %s', v_role.name, v_role.attributes);
            EXECUTE format('COMMENT ON ROLE %I IS %L', v_role.name, 'Created by Topicbase');
        END IF;
    END LOOP;
END;
$$;
-- The deploying role creates objects as mqtt_owner, so it must be able to become it; to have created it is not enough since PostgreSQL 16.
DO $$
DECLARE
    v_ways CONSTANT text := CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'member' ELSE 'set' END;
    v_role text;
BEGIN
    IF NOT (pg_catalog.pg_has_role(current_user, 'mqtt_owner', v_ways) AND pg_catalog.pg_has_role(current_user, 'mqtt_owner', 'usage')) THEN
        EXECUTE format('GRANT mqtt_owner TO %I', current_user);
    END IF;
    FOREACH v_role IN ARRAY '{anon,authenticated,service_role}'::text [] LOOP
        IF NOT pg_catalog.pg_has_role('authenticator', v_role, v_ways) THEN
            EXECUTE format('GRANT %I TO authenticator', v_role);
        END IF;
    END LOOP;
END;
$$;
-- pg_read_all_stats: to tell for how long a session of another role has held back vacuum (mqtt.vacuum_holders); without, it tells by
-- transactions only. pg_signal_backend: to end sessions of SQL tools that hold others up (mqtt.end_overdue_readers).
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY '{pg_read_all_stats,pg_signal_backend}'::text [] LOOP
        BEGIN
            IF NOT pg_catalog.pg_has_role('mqtt_owner', v_role, 'member') THEN
                EXECUTE format('GRANT %I TO mqtt_owner', v_role);
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'mqtt_owner does not become a member of %: %', v_role, SQLERRM;
        END;
    END LOOP;
END;
$$;
-- Settings hold in this database alone, and for roles that the project created: those of others keep what their owners chose. PostgreSQL
-- applies them to who logs in, mqtt.check_token to what PostgREST becomes for a request.
DO $$
DECLARE
    v_setting record;
BEGIN
    FOR v_setting IN
        SELECT r.rolname AS role, s.name, s.value
        FROM (VALUES
            -- A web request or a bridge call that waits for ever is worse than one that fails with a clear error.
            ('{authenticator,service_role}', 'statement_timeout', '60s'),
            ('{authenticator,service_role}', 'lock_timeout', '5s'),
            ('{authenticated}', 'statement_timeout', '20s'),
            ('{anon}', 'statement_timeout', '10s'),
            ('{anon,authenticated}', 'lock_timeout', '3s'),
            ('{topicbase_stream}', 'statement_timeout', '20s'),
            ('{topicbase_stream}', 'lock_timeout', '3s'),
            -- Parameters carry devices' passwords, in a request's headers: whatever the server logs, it logs without them. Needs a superuser,
            -- or a grant by one; without, the server's own configuration has to say so.
            ('{authenticator,mqtt_bridge,topicbase_stream}', 'log_parameter_max_length', '0'),
            ('{authenticator,mqtt_bridge,topicbase_stream}', 'log_parameter_max_length_on_error', '0'),
            -- And without the context of an error, which quotes the JSON that cannot be read: a request's headers or its body.
            ('{authenticator,mqtt_bridge,topicbase_stream}', 'log_error_verbosity', 'terse'),
            -- Compiling costs more than it saves on short queries over many partitions.
            ('{authenticator,mqtt_bridge,topicbase_stream}', 'jit', 'off')
        ) AS s (roles, name, value)
        INNER JOIN pg_catalog.pg_roles AS r ON r.rolname = ANY (s.roles::text [])
        INNER JOIN pg_catalog.pg_settings AS p ON p.name = s.name
        WHERE pg_catalog.shobj_description(r.oid, 'pg_authid') = 'Created by Topicbase'
            AND (p.context = 'user' OR pg_catalog.has_parameter_privilege(current_user, s.name, 'set'))
    LOOP
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET %s = %L', v_setting.role, pg_catalog.current_database(), v_setting.name, v_setting.value);
    END LOOP;
END;
$$;
COMMIT;
