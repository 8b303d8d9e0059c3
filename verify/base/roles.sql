-- Verify topicbase:base/roles on pg
BEGIN;
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['mqtt_owner', 'anon', 'authenticated', 'service_role', 'authenticator', 'mqtt_bridge'] LOOP
        IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE oid = v_role::regrole) THEN
            RAISE EXCEPTION 'role % must not be superuser', v_role;
        END IF;
    END LOOP;
    IF (SELECT rolcanlogin OR rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = 'mqtt_owner') THEN
        RAISE EXCEPTION 'mqtt_owner must neither log in nor bypass RLS';
    END IF;
    IF (SELECT rolinherit FROM pg_catalog.pg_roles WHERE rolname = 'authenticator') THEN
        RAISE EXCEPTION 'authenticator must be NOINHERIT';
    END IF;
    FOREACH v_role IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
        IF NOT pg_has_role('authenticator', v_role, 'member') THEN
            RAISE EXCEPTION 'authenticator cannot become %', v_role;
        END IF;
    END LOOP;
    -- Only roles that the project created have settings of the project.
    SELECT r.rolname INTO v_role
    FROM (VALUES
        ('authenticator', '{statement_timeout=60s,lock_timeout=5s,log_parameter_max_length_on_error=0,jit=off}'::text []),
        ('mqtt_bridge', '{log_parameter_max_length_on_error=0,jit=off}'),
        ('service_role', '{statement_timeout=60s,lock_timeout=5s}'),
        ('authenticated', '{statement_timeout=20s,lock_timeout=3s}'),
        ('anon', '{statement_timeout=10s,lock_timeout=3s}')
    ) AS w (name, settings)
    INNER JOIN pg_catalog.pg_roles AS r ON r.rolname = w.name
    LEFT JOIN pg_catalog.pg_db_role_setting AS s
        ON s.setrole = r.oid AND s.setdatabase = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
    WHERE pg_catalog.shobj_description(r.oid, 'pg_authid') = 'Created by Topicbase' AND (s.setconfig @> w.settings) IS NOT TRUE;
    IF found THEN
        RAISE EXCEPTION 'role % must neither wait for ever nor log the parameters of what fails', v_role;
    END IF;
END;
$$;
ROLLBACK;
