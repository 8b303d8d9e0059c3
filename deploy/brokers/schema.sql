-- Deploy topicbase:brokers/schema to pg
-- requires: base/passwords
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
CREATE SCHEMA broker AUTHORIZATION mqtt_owner;
COMMENT ON SCHEMA broker IS 'Views for brokers that look up devices in the database themselves. Each broker has a login role that can read its own views and nothing else.';
-- Roles are cluster-wide: created if missing, never dropped. They can log in once the operator gives them a password.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY '{rabbitmq_reader,emqx_reader,vernemq_reader,go_auth_reader}'::text [] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = v_role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
        END IF;
        -- What a role may lift again, it does not lift by accident; mqtt.end_overdue_readers ends what does. mqtt_owner may end its sessions.
        EXECUTE format('ALTER ROLE %I SET statement_timeout = %L', v_role, '10s');
        EXECUTE format('ALTER ROLE %I SET lock_timeout = %L', v_role, '2s');
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', v_role, '10s');
        EXECUTE format('GRANT %I TO mqtt_owner', v_role);
        IF (SELECT r.rolconnlimit FROM pg_catalog.pg_roles AS r WHERE r.rolname = v_role) < 0 THEN
            EXECUTE format('ALTER ROLE %I CONNECTION LIMIT 20', v_role);
        END IF;
        IF pg_catalog.has_parameter_privilege(current_user, 'temp_file_limit', 'set') THEN
            EXECUTE format('ALTER ROLE %I SET temp_file_limit = %L', v_role, '64MB');
        END IF;
        EXECUTE format('ALTER ROLE %I SET default_transaction_read_only = on', v_role);
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = broker', v_role, pg_catalog.current_database());
        EXECUTE format('GRANT USAGE ON SCHEMA broker TO %I', v_role);
    END LOOP;
END;
$$;
COMMIT;
