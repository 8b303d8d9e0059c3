-- Deploy topicbase:api/get_caller to pg
-- requires: integrations/operator_access
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.get_caller() RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT jsonb_build_object('user_id', mqtt.current_user_id(), 'role', current_setting('role'), 'is_operator', mqtt.may_operate());
END;
COMMENT ON FUNCTION api.get_caller() IS
$md$Tell who you are

Returns `{"user_id", "role", "is_operator"}`: the `sub` of your token where it is a UUID, the role of your token, and whether you may make the
calls for operators. Your organizations are in the view organizations.
Answer: {"user_id": "uuid?", "role": "text", "is_operator": "boolean"}$md$;
GRANT EXECUTE ON FUNCTION api.get_caller() TO authenticated, service_role;
COMMIT;
