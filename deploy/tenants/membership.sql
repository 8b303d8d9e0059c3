-- Deploy topicbase:tenants/membership to pg
-- requires: tenants/organization_members
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.current_user_id() RETURNS uuid
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- An expression alone, so that the planner puts it in place of the call; its text is read once.
    SELECT substring(
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub',
        '^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
    )::uuid;
END;
COMMENT ON FUNCTION mqtt.current_user_id() IS 'The caller''s user id: the sub claim of the JWT where it is a UUID, else null (RFC 7519 section 4.1.2).';
GRANT EXECUTE ON FUNCTION mqtt.current_user_id() TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.is_service() RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT current_setting('role') = 'service_role';
END;
COMMENT ON FUNCTION mqtt.is_service() IS 'Whether the session runs as service_role; holds inside definer functions too, since they do not change the role setting.';
GRANT EXECUTE ON FUNCTION mqtt.is_service() TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.current_key() RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb -> 'api_key';
END;
COMMENT ON FUNCTION mqtt.current_key() IS
'What the caller''s API key may do: organization_id, scope and, if it is for some integrations only, integration_ids. Null for a caller without one.';

CREATE OR REPLACE FUNCTION mqtt.key_integration_ids() RETURNS uuid []
LANGUAGE plpgsql STABLE SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ids CONSTANT jsonb := mqtt.current_key() -> 'integration_ids';
BEGIN
    RETURN CASE WHEN v_ids IS NOT NULL THEN ARRAY(SELECT i.id::uuid FROM jsonb_array_elements_text(v_ids) AS i (id)) END;
END;
$$;
COMMENT ON FUNCTION mqtt.key_integration_ids() IS
'The only integrations that the caller''s API key may see; null if that is not limited. In a policy always as a scalar sub-select.';

CREATE OR REPLACE FUNCTION mqtt.key_allows(integration_id uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT mqtt.key_integration_ids() IS NULL OR coalesce(integration_id = ANY (mqtt.key_integration_ids()), false);
END;
COMMENT ON FUNCTION mqtt.key_allows(uuid) IS 'Whether the caller''s API key, if that is what they have, may see an integration. For functions that run with their owner''s rights.';
GRANT EXECUTE ON FUNCTION mqtt.current_key(), mqtt.key_integration_ids(), mqtt.key_allows(uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.current_organization_ids(admin_only boolean DEFAULT false) RETURNS uuid []
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Read once: within the query it would be read, as JSON, for every row of a table small enough to be scanned.
    v_user_id uuid := mqtt.current_user_id();
    v_key jsonb := mqtt.current_key();
BEGIN
    IF v_key IS NOT NULL THEN
        RETURN ARRAY(
            SELECT o.id
            FROM mqtt.organizations AS o
            WHERE o.id = (v_key ->> 'organization_id')::uuid AND (NOT admin_only OR v_key ->> 'scope' = 'admin') AND o.moving_to IS NULL
        );
    END IF;
    -- PL/pgSQL, since it keeps the plan: every statement under row-level security begins here.
    RETURN ARRAY(
        SELECT m.organization_id
        FROM mqtt.organization_members AS m
        JOIN mqtt.organizations AS o ON o.id = m.organization_id
        WHERE m.user_id = v_user_id AND (NOT admin_only OR m.role = 'admin') AND o.moving_to IS NULL
    );
END;
$$;
COMMENT ON FUNCTION mqtt.current_organization_ids(boolean) IS
'Organizations the caller belongs to (or administers); of an API key, its own; none that moves to another installation. In a policy always as a scalar sub-select, so that it runs once per statement.';
GRANT EXECUTE ON FUNCTION mqtt.current_organization_ids(boolean) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.current_organization_numbers() RETURNS integer []
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_user_id uuid := mqtt.current_user_id();
    v_key jsonb := mqtt.current_key();
BEGIN
    IF v_key IS NOT NULL THEN
        RETURN ARRAY(SELECT o.number FROM mqtt.organizations AS o WHERE o.id = (v_key ->> 'organization_id')::uuid AND o.moving_to IS NULL);
    END IF;
    RETURN ARRAY(
        SELECT o.number
        FROM mqtt.organization_members AS m
        JOIN mqtt.organizations AS o ON o.id = m.organization_id
        WHERE m.user_id = v_user_id AND o.moving_to IS NULL
        ORDER BY o.number
    );
END;
$$;
COMMENT ON FUNCTION mqtt.current_organization_numbers() IS
'mqtt.current_organization_ids by the organizations'' numbers, in their order, for policies of the history.';
GRANT EXECUTE ON FUNCTION mqtt.current_organization_numbers() TO authenticated, service_role;
COMMIT;
