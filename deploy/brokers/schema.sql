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
    v_setting record;
BEGIN
    FOREACH v_role IN ARRAY '{rabbitmq_reader,emqx_reader,vernemq_reader,go_auth_reader}'::text [] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = v_role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN CONNECTION LIMIT 20', v_role);
            EXECUTE format('COMMENT ON ROLE %I IS %L', v_role, 'Created by Topicbase');
        END IF;
        -- mqtt_owner may end its sessions.
        IF NOT pg_catalog.pg_has_role('mqtt_owner', v_role, 'usage') THEN
            EXECUTE format('GRANT %I TO mqtt_owner', v_role);
        END IF;
        -- What a role may lift again, it does not lift by accident; mqtt.end_overdue_readers ends what does.
        FOR v_setting IN
            SELECT s.name, s.value
            FROM (VALUES
                ('statement_timeout', '10s'), ('lock_timeout', '2s'), ('idle_in_transaction_session_timeout', '10s'), ('temp_file_limit', '64MB'),
                ('default_transaction_read_only', 'on'), ('search_path', 'broker'),
                -- VerneMQ's method crypt sends devices' passwords as parameters.
                ('log_parameter_max_length', '0'), ('log_parameter_max_length_on_error', '0')
            ) AS s (name, value)
            INNER JOIN pg_catalog.pg_settings AS p ON p.name = s.name
            WHERE pg_catalog.shobj_description(v_role::regrole, 'pg_authid') = 'Created by Topicbase'
                AND (p.context = 'user' OR pg_catalog.has_parameter_privilege(current_user, s.name, 'set'))
        LOOP
            EXECUTE format('ALTER ROLE %I IN DATABASE %I SET %s = %L', v_role, pg_catalog.current_database(), v_setting.name, v_setting.value);
        END LOOP;
        EXECUTE format('GRANT USAGE ON SCHEMA broker TO %I', v_role);
    END LOOP;
END;
$$;
COMMIT;
