-- Revert topicbase:base/roles from pg
BEGIN;
-- Roles are shared by every database of the cluster and stay; what is set for them in this one goes.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY '{anon,authenticated,service_role,authenticator,mqtt_bridge,topicbase_stream}'::text [] LOOP
        IF pg_catalog.shobj_description(v_role::regrole, 'pg_authid') = 'Created by Topicbase' THEN
            EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET ALL', v_role, pg_catalog.current_database());
        END IF;
    END LOOP;
END;
$$;
COMMIT;
