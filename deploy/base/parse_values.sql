-- Deploy topicbase:base/parse_values to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.try_timestamptz(value text) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
    IF value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?$' THEN
        RETURN value::timestamptz;
    END IF;
    RETURN NULL;
EXCEPTION
    WHEN data_exception THEN
        RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.try_timestamptz(text) IS 'An RFC 3339 date and time (UTC where it has no offset) as timestamptz; null when it is none.';

CREATE OR REPLACE FUNCTION mqtt.try_base64(value text) RETURNS bytea
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN value ~ '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?$' THEN decode(value, 'base64')
    END;
END;
COMMENT ON FUNCTION mqtt.try_base64(text) IS 'Base64 text (RFC 4648 section 4, padded) as bytes; null when it is none.';

CREATE OR REPLACE FUNCTION mqtt.is_uuid(value text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT value ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$';
END;
COMMENT ON FUNCTION mqtt.is_uuid(text) IS 'Whether the text is a UUID in its usual form (RFC 9562 section 4); Postgres also reads others. Null for null.';
GRANT EXECUTE ON FUNCTION mqtt.try_timestamptz(text), mqtt.try_base64(text), mqtt.is_uuid(text) TO authenticated, service_role;
COMMIT;
