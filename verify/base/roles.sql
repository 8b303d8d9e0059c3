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
    IF NOT (SELECT rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = 'service_role') THEN
        RAISE EXCEPTION 'service_role must bypass RLS';
    END IF;
    IF (SELECT rolinherit FROM pg_catalog.pg_roles WHERE rolname = 'authenticator') THEN
        RAISE EXCEPTION 'authenticator must be NOINHERIT';
    END IF;
    FOREACH v_role IN ARRAY ARRAY['authenticator', 'mqtt_bridge'] LOOP
        IF NOT (SELECT rolconfig @> ARRAY['log_parameter_max_length_on_error=0', 'jit=off'] FROM pg_catalog.pg_roles WHERE rolname = v_role) THEN
            RAISE EXCEPTION 'role % must not log the parameters of what fails', v_role;
        END IF;
    END LOOP;
    FOREACH v_role IN ARRAY ARRAY['authenticator', 'anon', 'authenticated', 'service_role'] LOOP
        IF (SELECT rolconfig::text !~ 'statement_timeout=.*lock_timeout=' FROM pg_catalog.pg_roles WHERE rolname = v_role) IS NOT FALSE THEN
            RAISE EXCEPTION 'role % must not wait for ever', v_role;
        END IF;
    END LOOP;
END;
$$;
ROLLBACK;
