-- Deploy topicbase:base/require_argument to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.require_argument(name text, value text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF value IS NULL THEN
        RAISE EXCEPTION 'argument_missing' USING
            ERRCODE = 'PT400', DETAIL = format('The call needs %s, which is missing or null.', name), HINT = format('Send %s.', name);
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_argument(text, text) IS
'Raises PT400 argument_missing if the value is null: for whoever found nothing, before it says that there is no such row.';
GRANT EXECUTE ON FUNCTION mqtt.require_argument(text, text) TO authenticated, service_role;
COMMIT;
