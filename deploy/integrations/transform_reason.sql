-- Deploy topicbase:integrations/transform_reason to pg
-- requires: base/codecs
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.transform_reason(transform text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF transform IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN mqtt.py_check_transform(transform);
EXCEPTION
    -- There is no such function, or the server no longer loads its library or PL/Python's.
    WHEN undefined_function OR undefined_file OR internal_error OR external_routine_exception THEN
        RETURN 'needs PL/Python and JMESPath on the database server (Debian: python3-jmespath; see mqtt.codecs())';
END;
$$;
COMMENT ON FUNCTION mqtt.transform_reason(text) IS 'Why this is not the transform of a payload rule, as the end of a sentence with the place; null if it is.';
GRANT EXECUTE ON FUNCTION mqtt.transform_reason(text) TO authenticated, service_role;
COMMIT;
