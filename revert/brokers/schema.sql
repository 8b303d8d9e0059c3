-- Revert topicbase:brokers/schema from pg
BEGIN;
-- The roles stay, as roles do: other databases of the cluster may use them. Their settings in this one go.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY '{rabbitmq_reader,emqx_reader,vernemq_reader,go_auth_reader}'::text [] LOOP
        IF pg_catalog.shobj_description(v_role::regrole, 'pg_authid') = 'Created by Topicbase' THEN
            EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET ALL', v_role, pg_catalog.current_database());
        END IF;
    END LOOP;
END;
$$;
DO $$
BEGIN
    IF (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
        GRANT EXECUTE ON FUNCTION pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid), pg_catalog.lo_from_bytea(oid, bytea) TO public;
    END IF;
END;
$$;
DROP SCHEMA broker;
COMMIT;
