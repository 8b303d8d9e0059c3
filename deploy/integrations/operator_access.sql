-- Deploy topicbase:integrations/operator_access to pg
-- requires: integrations/access
-- requires: tenants/operators
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.may_operate() RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT mqtt.is_operator() OR EXISTS (SELECT FROM mqtt.operators AS o WHERE o.user_id = mqtt.current_user_id());
END;
COMMENT ON FUNCTION mqtt.may_operate() IS
'Whether the caller is in mqtt.operators or above organizations (mqtt.is_operator). It opens the calls about the installation, never an organization.';

CREATE OR REPLACE FUNCTION mqtt.require_operator() RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT mqtt.may_operate() THEN
        RAISE EXCEPTION 'operator_required' USING
            ERRCODE = 'PT403',
            DETAIL = 'The call is for operators of the installation.',
            HINT = 'Someone with access to the database adds your user id to mqtt.operators.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_operator() IS 'Raises PT403 operator_required unless mqtt.may_operate().';
GRANT EXECUTE ON FUNCTION mqtt.may_operate(), mqtt.require_operator() TO authenticated, service_role;
COMMIT;
