-- Deploy topicbase:publish/grant_publisher to pg
-- requires: publish/publish
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.set_publisher_privileges(role_name name, is_granted boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_verb CONSTANT text := CASE WHEN is_granted THEN 'GRANT' ELSE 'REVOKE' END;
    v_whom CONSTANT text := CASE WHEN is_granted THEN 'TO' ELSE 'FROM' END;
    v_function regprocedure;
BEGIN
    EXECUTE format('%s USAGE ON SCHEMA mqtt %s %I', v_verb, v_whom, role_name);
    EXECUTE format('%s INSERT (integration_id, messages), SELECT (receipts) ON mqtt.publishing %s %I', v_verb, v_whom, role_name);
    FOR v_function IN
        SELECT p.oid::regprocedure FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'mqtt'::regnamespace AND p.proname = 'publish'
    LOOP
        EXECUTE format('%s EXECUTE ON FUNCTION %s %s %I', v_verb, v_function, v_whom, role_name);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.set_publisher_privileges(name, boolean) IS 'Lets a role call mqtt.publish, or no longer.';

CREATE OR REPLACE FUNCTION mqtt.grant_publisher(role_name name, integration_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_organization_id CONSTANT uuid := (SELECT i.organization_id FROM mqtt.device_integrations AS i WHERE i.id = grant_publisher.integration_id);
BEGIN
    -- Every caller of the API becomes one of these.
    IF role_name IN ('anon', 'authenticated', 'service_role', 'authenticator', 'mqtt_bridge', 'mqtt_owner')
        OR NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = grant_publisher.role_name) THEN
        RAISE EXCEPTION 'role_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = format('%s is not a role that can be a publisher.', coalesce(quote_ident(role_name), 'null')),
            HINT = 'Name an existing role of your application, not one of Topicbase''s own.';
    ELSIF v_organization_id IS NULL THEN
        RAISE EXCEPTION 'integration_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no integration %s.', coalesce(integration_id::text, 'null')),
            HINT = 'GET /device_integrations lists them.';
    END IF;
    INSERT INTO mqtt.publishers (organization_id, integration_id, role_name)
    VALUES (v_organization_id, grant_publisher.integration_id, grant_publisher.role_name)
    ON CONFLICT DO NOTHING;
    PERFORM mqtt.set_publisher_privileges(role_name, true);
END;
$$;
COMMENT ON FUNCTION mqtt.grant_publisher(name, uuid) IS
'Lets a database role, and those that have its privileges, publish to an integration with mqtt.publish. For superusers and members of mqtt_owner.';

CREATE OR REPLACE FUNCTION mqtt.revoke_publisher(role_name name, integration_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM mqtt.publishers AS p WHERE p.role_name = revoke_publisher.role_name AND p.integration_id = revoke_publisher.integration_id;
    IF found AND NOT EXISTS (SELECT FROM mqtt.publishers AS p WHERE p.role_name = revoke_publisher.role_name) THEN
        PERFORM mqtt.set_publisher_privileges(role_name, false);
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.revoke_publisher(name, uuid) IS 'Takes back what mqtt.grant_publisher gave; with the last integration also the privileges, so that the role can be dropped.';
COMMIT;
