-- Deploy topicbase:base/json to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.has_extreme_number(value jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT
        FROM jsonb_path_query(value, 'strict $.** ? (@.type() == "number")') AS n (number)
        WHERE n.number <> '0' AND NOT abs(n.number::numeric) BETWEEN 4.94e-324 AND 1.7976931348623157e308
    );
END;
COMMENT ON FUNCTION mqtt.has_extreme_number(jsonb) IS
'Whether a number in it lies outside the range of IEEE 754 double precision, which interoperable JSON keeps to (RFC 8259 section 6).';

CREATE OR REPLACE FUNCTION mqtt.is_too_deep(value jsonb, levels_around integer DEFAULT 0) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- A path's levels cannot be variables. Whoever reads what is stored may have a recursive parser; Python's ends at about 1,000.
    SELECT CASE levels_around
        WHEN 0 THEN jsonb_path_exists(value, 'strict $.**{128} ? (@.type() == "array" || @.type() == "object")')
        WHEN 1 THEN jsonb_path_exists(value, 'strict $.**{129} ? (@.type() == "array" || @.type() == "object")')
        WHEN 2 THEN jsonb_path_exists(value, 'strict $.**{130} ? (@.type() == "array" || @.type() == "object")')
        ELSE jsonb_path_exists(value, 'strict $.**{131} ? (@.type() == "array" || @.type() == "object")')
    END;
END;
COMMENT ON FUNCTION mqtt.is_too_deep(jsonb, integer) IS
'Whether arrays and objects in it are nested more than 128 deep, not counting the levels (0 to 3) of what stands around a payload.';

CREATE OR REPLACE FUNCTION mqtt.has_many_brackets(value text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- What is shorter has no room for 129 pairs.
    SELECT octet_length(value) >= 258 AND octet_length(value) - octet_length(translate(value, '[{', '')) > 128;
END;
COMMENT ON FUNCTION mqtt.has_many_brackets(text) IS 'Whether JSON text has enough brackets to be nested too deeply (mqtt.is_too_deep).';

CREATE OR REPLACE FUNCTION mqtt.checked_jsonb(value text, levels_around integer DEFAULT 0) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_value jsonb;
BEGIN
    BEGIN
        v_value := value::jsonb;
    EXCEPTION
        WHEN untranslatable_character THEN
            RAISE EXCEPTION 'payload_invalid' USING
                ERRCODE = 'PT400',
                DETAIL = 'The JSON holds \u0000, which Postgres text cannot hold.',
                HINT = 'Leave the character out, or send the payload as base64 with payload_encoding.';
        WHEN statement_too_complex THEN
            v_value := NULL;
        WHEN data_exception OR program_limit_exceeded THEN
            RAISE EXCEPTION 'payload_invalid' USING
                ERRCODE = 'PT400',
                DETAIL = 'The payload is no valid JSON.',
                HINT = 'See RFC 8259; strings are UTF-8 without lone surrogates.';
    END;
    IF v_value IS NULL OR (octet_length(value) >= 258 AND mqtt.is_too_deep(v_value, levels_around)) THEN
        RAISE EXCEPTION 'payload_too_deep' USING
            ERRCODE = 'PT400',
            DETAIL = 'The JSON is nested more than 128 levels deep.',
            HINT = 'Nest arrays and objects less deeply, or send the payload as base64 with payload_encoding.';
    END IF;
    -- 1e100000 is eight bytes here and 100,001 when read back. One look for both, a quarter of the parsing; only where a number can begin, since
    -- many an id has 4e123 in it. {100} alone doubles the time of what is too short for it.
    IF (value ~ CASE
        WHEN octet_length(value) >= 200 THEN '(^|[,:\s[])-?[0-9.]+([eE][+-]?0*[1-9][0-9]{2}|[0-9]{100})'
        ELSE '(^|[,:\s[])-?[0-9.]+[eE][+-]?0*[1-9][0-9]{2}'
    END) AND mqtt.has_extreme_number(v_value) THEN
        RAISE EXCEPTION 'payload_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'The JSON holds a number outside the range of a double precision float.',
            HINT = 'Send such a number as a string.';
    END IF;
    RETURN v_value;
END;
$$;
COMMENT ON FUNCTION mqtt.checked_jsonb(text, integer) IS
'The text as jsonb; raises PT400 payload_invalid with the reason when it is no JSON that can be stored and read back at its size, and PT400 payload_too_deep (mqtt.is_too_deep).';

CREATE OR REPLACE FUNCTION mqtt.quick_jsonb(value text) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN octet_length(value) <= 1000 AND value !~ '\\u|[eE][+-]?0*[1-9][0-9]{2}'
            -- Apart, since {200} alone takes longer than all the rest.
            AND (octet_length(value) < 200 OR value !~ '[0-9]{200}') AND NOT mqtt.has_many_brackets(value) THEN value::jsonb
        ELSE mqtt.checked_jsonb(value)
    END;
END;
COMMENT ON FUNCTION mqtt.quick_jsonb(text) IS
'mqtt.checked_jsonb for text that is valid JSON of type json: what is short, without \u escapes and without far exponents cannot fail, and needs no subtransaction.';

CREATE OR REPLACE FUNCTION mqtt.json_reason(value json, levels_around integer DEFAULT 0) RETURNS text
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_detail text;
BEGIN
    PERFORM mqtt.checked_jsonb(value::text, levels_around);
    RETURN NULL;
EXCEPTION
    WHEN SQLSTATE 'PT400' THEN
        GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
        RETURN v_detail;
END;
$$;
COMMENT ON FUNCTION mqtt.json_reason(json, integer) IS 'Why the JSON cannot be stored, in words; null when it can.';
GRANT EXECUTE ON FUNCTION mqtt.has_extreme_number(jsonb), mqtt.is_too_deep(jsonb, integer), mqtt.checked_jsonb(text, integer), mqtt.json_reason(json, integer) TO authenticated, service_role;
COMMIT;
