-- Deploy topicbase:readings/grant_reader to pg
-- requires: readings/schema
-- requires: tables/readers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.reader_organization_ids() RETURNS uuid []
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- Who logged in, not who they became or claim to be: neither SET ROLE nor a setting changes it.
    -- What is left of an organization that has moved away is not what it has.
    SELECT coalesce(array_agg(r.organization_id), '{}')
    FROM mqtt.readers AS r
    INNER JOIN mqtt.organizations AS o ON o.id = r.organization_id AND o.moving_to IS NULL
    WHERE r.role_name = session_user;
END;
COMMENT ON FUNCTION mqtt.reader_organization_ids() IS 'The organizations that the login reads in schema readings. In a view always as a scalar sub-select, so that it runs once per statement.';
GRANT EXECUTE ON FUNCTION mqtt.reader_organization_ids() TO topicbase_reader;

CREATE OR REPLACE FUNCTION mqtt.grant_reader(role_name name, organization_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Every caller of the API, or every broker, logs in as one of these.
    IF role_name IN ('anon', 'authenticated', 'service_role', 'authenticator', 'mqtt_bridge', 'mqtt_owner', 'topicbase_stream', 'topicbase_reader')
        OR NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = grant_reader.role_name AND r.rolcanlogin) THEN
        RAISE EXCEPTION 'role_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = format('%s is not a role that can be a reader.', coalesce(quote_ident(role_name), 'null')),
            HINT = 'Create a login for the tool that reads: CREATE ROLE grafana LOGIN CONNECTION LIMIT 10;';
    ELSIF NOT EXISTS (SELECT FROM mqtt.organizations AS o WHERE o.id = grant_reader.organization_id) THEN
        RAISE EXCEPTION 'organization_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no organization %s.', coalesce(organization_id::text, 'null')),
            HINT = 'SELECT id, name FROM mqtt.organizations lists them.';
    END IF;
    INSERT INTO mqtt.readers (organization_id, role_name) VALUES (grant_reader.organization_id, grant_reader.role_name) ON CONFLICT DO NOTHING;
    EXECUTE format('GRANT topicbase_reader TO %I', role_name);
END;
$$;
COMMENT ON FUNCTION mqtt.grant_reader(name, uuid) IS
'Lets a login read an organization''s devices and readings in schema readings. For superusers and others who may grant topicbase_reader.
Errors: 400 role_invalid; 404 organization_not_found.';

CREATE OR REPLACE FUNCTION mqtt.revoke_reader(role_name name, organization_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM mqtt.readers AS r WHERE r.role_name = revoke_reader.role_name AND r.organization_id = revoke_reader.organization_id;
    IF found AND NOT EXISTS (SELECT FROM mqtt.readers AS r WHERE r.role_name = revoke_reader.role_name)
        AND EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = revoke_reader.role_name) THEN
        EXECUTE format('REVOKE topicbase_reader FROM %I', role_name);
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.revoke_reader(name, uuid) IS 'Takes back what mqtt.grant_reader gave, at once also for sessions that are open.';
COMMIT;
