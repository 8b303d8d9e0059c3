-- Revert topicbase:brokers/schema from pg
BEGIN;
-- The roles stay, as roles do: other databases of the cluster may use them.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY '{rabbitmq_reader,emqx_reader,vernemq_reader,go_auth_reader}'::text [] LOOP
        EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET search_path', v_role, pg_catalog.current_database());
    END LOOP;
END;
$$;
DROP SCHEMA broker;
COMMIT;
