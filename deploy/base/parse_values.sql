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
DECLARE
    v_time timestamptz;
BEGIN
    IF value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?$' THEN
        v_time := value::timestamptz;
    END IF;
    -- An offset may lead out of the years that RFC 3339 can tell.
    RETURN CASE WHEN v_time BETWEEN '0001-01-01 00:00+00' AND '9999-12-31 23:59:59.999999+00' THEN v_time END;
EXCEPTION
    WHEN data_exception THEN
        RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.try_timestamptz(text) IS 'An RFC 3339 date and time (UTC where it has no offset) as timestamptz; null when it is none.';

CREATE OR REPLACE FUNCTION mqtt.try_device_time(value text) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_number numeric;
    v_seconds numeric;
BEGIN
    IF value !~ '^-?[0-9]{9,21}(\.[0-9]{1,18})?$' THEN
        RETURN mqtt.try_timestamptz(value);
    END IF;
    v_number := value::numeric;
    v_seconds := round(
        CASE
            WHEN abs(v_number) < 1e11 THEN v_number
            WHEN abs(v_number) < 1e14 THEN v_number / 1e3
            WHEN abs(v_number) < 1e17 THEN v_number / 1e6
            ELSE v_number / 1e9
        END, 6
    );
    -- Less than 1e8 is the time since a device started, or a date such as 20260219.
    RETURN CASE WHEN abs(v_number) >= 1e8 AND v_seconds BETWEEN -62135596800 AND 253402300799 THEN to_timestamp(v_seconds::double precision) END;
END;
$$;
COMMENT ON FUNCTION mqtt.try_device_time(text) IS
'A time as devices give it: an RFC 3339 date and time, or time since 1970 in seconds (1e8 to 1e11), milliseconds (to 1e14), microseconds (to 1e17) or nanoseconds; null when it is none of these.';

CREATE OR REPLACE FUNCTION mqtt.device_time(value jsonb) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN jsonb_typeof(value) IN ('string', 'number') THEN mqtt.try_device_time(value #>> '{}') END;
END;
COMMENT ON FUNCTION mqtt.device_time(jsonb) IS 'The same of a JSON string or number; null for anything else.';

CREATE OR REPLACE FUNCTION mqtt.payload_time(payload jsonb) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN payload ?| '{timestamp,ts}' AND jsonb_typeof(payload) = 'object'
            THEN coalesce(mqtt.device_time(payload -> 'timestamp'), mqtt.device_time(payload -> 'ts'))
    END;
END;
COMMENT ON FUNCTION mqtt.payload_time(jsonb) IS 'The time that a payload tells in its member timestamp, else ts; null when it tells none.';

CREATE OR REPLACE FUNCTION mqtt.data_of_payload(payload jsonb, sent_at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN sent_at IS NULL OR NOT payload ?| '{timestamp,ts}' OR jsonb_typeof(payload) <> 'object' THEN payload
        WHEN mqtt.device_time(payload -> 'timestamp') = sent_at THEN payload - 'timestamp'
        WHEN mqtt.device_time(payload -> 'ts') = sent_at THEN payload - 'ts'
        ELSE payload
    END;
END;
COMMENT ON FUNCTION mqtt.data_of_payload(jsonb, timestamptz) IS 'What a payload tells besides the time: without the member that is sent_at, if one is.';

CREATE OR REPLACE FUNCTION mqtt.try_base64(value text) RETURNS bytea
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN value ~ '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?$' THEN decode(value, 'base64')
    END;
END;
COMMENT ON FUNCTION mqtt.try_base64(text) IS 'Base64 text (RFC 4648 section 4, padded) as bytes; null when it is none.';

CREATE OR REPLACE FUNCTION mqtt.try_qos(value text) RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN value ~ '^[012](\.0+)?$' THEN left(value, 1)::integer END;
END;
COMMENT ON FUNCTION mqtt.try_qos(text) IS 'A QoS as JSON or a header writes it: 0, 1 or 2; null when it is none.';

CREATE OR REPLACE FUNCTION mqtt.try_boolean(value text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE lower(value) WHEN 'true' THEN true WHEN '1' THEN true WHEN 'false' THEN false WHEN '0' THEN false END;
END;
COMMENT ON FUNCTION mqtt.try_boolean(text) IS 'A truth value as JSON or a header writes it: true, false, 1 or 0, in any case; null when it is none.';

CREATE OR REPLACE FUNCTION mqtt.is_uuid(value text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT value ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$';
END;
COMMENT ON FUNCTION mqtt.is_uuid(text) IS 'Whether the text is a UUID in its usual form (RFC 9562 section 4); Postgres also reads others. Null for null.';
GRANT EXECUTE ON FUNCTION mqtt.try_timestamptz(text), mqtt.try_device_time(text), mqtt.device_time(jsonb), mqtt.payload_time(jsonb),
mqtt.data_of_payload(jsonb, timestamptz), mqtt.try_base64(text), mqtt.try_qos(text), mqtt.try_boolean(text), mqtt.is_uuid(text) TO authenticated, service_role;
COMMIT;
