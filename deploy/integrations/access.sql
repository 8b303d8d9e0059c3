-- Deploy topicbase:integrations/access to pg
-- requires: base/require_argument
-- requires: tables/device_integrations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.is_operator() RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT mqtt.is_service() OR (current_setting('role') = 'none' AND pg_has_role(session_user, 'mqtt_owner', 'member'));
END;
COMMENT ON FUNCTION mqtt.is_operator() IS
'Whether the caller is above organizations: service_role, or a direct session (psql, pg_cron) of a role that may become mqtt_owner.';
GRANT EXECUTE ON FUNCTION mqtt.is_operator() TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.require_admin(organization_id uuid) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT mqtt.is_operator() AND NOT require_admin.organization_id = ANY (mqtt.current_organization_ids(true)) THEN
        RAISE EXCEPTION 'admin_required' USING
            ERRCODE = 'PT403',
            DETAIL = format('You are a member of organization %s, but not an admin.', organization_id),
            HINT = 'Ask an admin of the organization to do it, or to make you one.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_admin(uuid) IS 'Raises PT403 admin_required unless the caller is an admin of the organization.';
GRANT EXECUTE ON FUNCTION mqtt.require_admin(uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.require_whole_organization() RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF mqtt.key_integration_ids() IS NOT NULL THEN
        RAISE EXCEPTION 'key_of_integrations' USING
            ERRCODE = 'PT403', DETAIL = 'The call is about a whole organization, and the API key is for some of its integrations.',
            HINT = 'Use a key that is not limited to integrations.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_whole_organization() IS 'Raises PT403 key_of_integrations for a caller whose API key is limited to integrations.';
GRANT EXECUTE ON FUNCTION mqtt.require_whole_organization() TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.require_organization(organization_id uuid, admin_only boolean DEFAULT false) RETURNS mqtt.organizations
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_organization mqtt.organizations;
BEGIN
    SELECT o.* INTO v_organization
    FROM mqtt.organizations AS o
    WHERE o.id = require_organization.organization_id
        AND (mqtt.is_operator() OR o.id = ANY (mqtt.current_organization_ids()));
    IF NOT found THEN
        PERFORM mqtt.require_argument('organization_id', organization_id::text);
        RAISE EXCEPTION 'organization_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no organization %s that you may see.', organization_id),
            HINT = 'GET /organizations lists yours.';
    END IF;
    IF admin_only THEN
        PERFORM mqtt.require_admin(v_organization.id);
        PERFORM mqtt.require_whole_organization();
    END IF;
    RETURN v_organization;
END;
$$;
COMMENT ON FUNCTION mqtt.require_organization(uuid, boolean) IS
'The organization, if the caller may see it (else PT404 organization_not_found) and, with admin_only, is an admin of it (else PT403 admin_required), not by an API key for some integrations (else PT403 key_of_integrations).';
GRANT EXECUTE ON FUNCTION mqtt.require_organization(uuid, boolean) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.require_part(organization_id uuid, integration_id uuid) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM mqtt.require_organization(organization_id);
    PERFORM mqtt.require_admin(organization_id);
    IF NOT mqtt.key_allows(integration_id) THEN
        PERFORM mqtt.require_whole_organization();
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_part(uuid, uuid) IS
'Raises what mqtt.require_organization raises unless the caller is an admin of the organization or, by an API key for some integrations, of this one.';
GRANT EXECUTE ON FUNCTION mqtt.require_part(uuid, uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.require_single_organization() RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_count CONSTANT integer := cardinality(mqtt.current_organization_ids());
BEGIN
    IF v_count > 1 AND NOT mqtt.is_operator() THEN
        RAISE EXCEPTION 'organization_required' USING
            ERRCODE = 'PT400',
            DETAIL = format('You belong to %s organizations, and the call does not say which one is meant.', v_count),
            HINT = 'Send organization_id; GET /organizations lists yours.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_single_organization() IS
'Raises PT400 organization_required if the caller belongs to several organizations: for calls that name neither one nor an integration.';
GRANT EXECUTE ON FUNCTION mqtt.require_single_organization() TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.require_scope_of_readings(integration_id uuid, organization_id uuid, has_devices boolean) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF integration_id IS NOT NULL THEN
        PERFORM mqtt.require_integration(integration_id, organization_id);
    ELSIF organization_id IS NOT NULL THEN
        PERFORM mqtt.require_organization(organization_id);
    ELSIF NOT has_devices THEN
        PERFORM mqtt.require_single_organization();
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_scope_of_readings(uuid, uuid, boolean) IS
'Raises PT404 or PT400 organization_required unless the caller may read what a query of readings names, and it is clear whose they are: rows of readings name no organization.';
GRANT EXECUTE ON FUNCTION mqtt.require_scope_of_readings(uuid, uuid, boolean) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.require_integration(
    integration_id uuid, organization_id uuid DEFAULT NULL, admin_only boolean DEFAULT false
) RETURNS mqtt.device_integrations
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations;
BEGIN
    SELECT i.* INTO v_integration
    FROM mqtt.device_integrations AS i
    WHERE i.id = require_integration.integration_id
        AND i.organization_id = coalesce(require_integration.organization_id, i.organization_id)
        AND (mqtt.is_operator() OR i.organization_id = ANY (mqtt.current_organization_ids()))
        AND mqtt.key_allows(i.id);
    IF NOT found THEN
        PERFORM mqtt.require_argument('integration_id', integration_id::text);
        RAISE EXCEPTION 'integration_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no integration %s that you may see', integration_id)
                || coalesce(format(' in organization %s.', organization_id), '.'),
            HINT = 'GET /device_integrations lists yours.';
    END IF;
    IF admin_only THEN
        PERFORM mqtt.require_admin(v_integration.organization_id);
    END IF;
    RETURN v_integration;
END;
$$;
COMMENT ON FUNCTION mqtt.require_integration(uuid, uuid, boolean) IS
'The integration, if the caller may see it and it belongs to the organization, where one is given (else PT404 integration_not_found), and, with admin_only, the caller is an admin of its organization (else PT403 admin_required).';
GRANT EXECUTE ON FUNCTION mqtt.require_integration(uuid, uuid, boolean) TO authenticated, service_role;
COMMIT;
