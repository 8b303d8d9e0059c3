-- Deploy topicbase:base/argument_aliases to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.one_of(preferred anyelement, alias anyelement, preferred_name text, alias_name text) RETURNS anyelement
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF preferred <> alias THEN
        RAISE EXCEPTION 'argument_conflict' USING
            ERRCODE = 'PT400',
            DETAIL = format('%s and %s are two names of one argument, and their values differ.', preferred_name, alias_name),
            HINT = format('Send %s only.', preferred_name);
    END IF;
    RETURN coalesce(preferred, alias);
END;
$$;
COMMENT ON FUNCTION mqtt.one_of(anyelement, anyelement, text, text) IS
'The value of an argument that has two names: of whichever was given, null if neither was. Raises PT400 argument_conflict if both were given and differ.';
GRANT EXECUTE ON FUNCTION mqtt.one_of(anyelement, anyelement, text, text) TO authenticated, service_role;
COMMIT;
