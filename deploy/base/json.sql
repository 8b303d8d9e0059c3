-- Deploy topicbase:base/json to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.has_extreme_number(value jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- All in the path, which takes a tenth of the time that its numbers take outside of it.
    SELECT jsonb_path_exists(
        value,
        'strict $.** ? (@.type() == "number" && (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308 || @ < 4.94e-324 && @ > -4.94e-324 && @ != 0))'
    );
END;
COMMENT ON FUNCTION mqtt.has_extreme_number(jsonb) IS
'Whether a number in it lies outside the range of IEEE 754 double precision, which interoperable JSON keeps to (RFC 8259 section 6).';

CREATE OR REPLACE FUNCTION mqtt.has_far_numbers(value jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- What takes less has no room for as many.
    SELECT pg_column_size(value) > 2400 AND jsonb_array_length(jsonb_path_query_array(
        value, 'strict $.** ? (@.type() == "number" && (@ >= 1e30 || @ <= -1e30 || @ < 1e-29 && @ > -1e-29 && @ != 0))'
    )) > 200;
END;
COMMENT ON FUNCTION mqtt.has_far_numbers(jsonb) IS
'Whether more than 200 numbers in it are 1e30 and more, or less than 1e-29: each takes up to 326 bytes as text, which has no exponents, and 12 here.';

CREATE OR REPLACE FUNCTION mqtt.has_far_exponents(value text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- First with what stands in strings, such as hexadecimal digits, as these are rarely that many. What has 1,000 bytes has no room for as many.
    SELECT octet_length(value) > 1000 AND value ~ '([0-9.][eE][+-]?0*([3-9][0-9]|[1-9][0-9]{2}).*){201}'
        AND regexp_replace(value, '"([^"\\]|\\.)*"', '', 'g') ~ '([0-9.][eE][+-]?0*([3-9][0-9]|[1-9][0-9]{2}).*){201}';
END;
COMMENT ON FUNCTION mqtt.has_far_exponents(text) IS
'Whether more than 200 numbers in JSON text have exponents of 30 and more, or -30 and less: jsonb returns each with up to 326 digits.';

CREATE OR REPLACE FUNCTION mqtt.far_exponents_reason() RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 'The JSON has more than 200 numbers with exponents of 30 and more, or -30 and less.';
END;
COMMENT ON FUNCTION mqtt.far_exponents_reason() IS 'The detail of payload_invalid where mqtt.has_far_exponents holds.';

CREATE OR REPLACE FUNCTION mqtt.payload_has_far_exponents(value text, levels_around integer) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- Of a batch each message for itself.
    SELECT mqtt.has_far_exponents(value) AND CASE WHEN levels_around < 2 THEN true ELSE EXISTS (
        SELECT
        FROM (SELECT CASE levels_around WHEN 2 THEN value::json ELSE value::json -> 'messages' END AS messages) AS b
        CROSS JOIN json_array_elements(CASE json_typeof(b.messages) WHEN 'array' THEN b.messages ELSE '[]' END) AS e (value)
        WHERE mqtt.has_far_exponents(e.value::text)
    ) END;
END;
COMMENT ON FUNCTION mqtt.payload_has_far_exponents(text, integer) IS
'mqtt.has_far_exponents of one of the payloads in valid JSON text: a payload, a message (levels_around 1), an array of messages (2) or an object that has one (3).';

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
    -- 1e100000 is eight bytes here and 100,001 when read back. One look for all, a quarter of the parsing; only where a number can begin, since
    -- many an id has 4e123 in it. {100} alone doubles the time of what is too short for it.
    IF (value ~ CASE
        WHEN octet_length(value) >= 200 THEN '(^|[,:\s[])-?[0-9.]+([eE][+-]?0*([3-9][0-9]|[1-9][0-9]{2})|[0-9]{100})'
        ELSE '(^|[,:\s[])-?[0-9.]+[eE][+-]?0*[1-9][0-9]{2}'
    END) THEN
        IF mqtt.payload_has_far_exponents(value, levels_around) THEN
            RAISE EXCEPTION 'payload_invalid' USING
                ERRCODE = 'PT400',
                DETAIL = mqtt.far_exponents_reason(),
                HINT = 'Send them as strings, or in several messages: each is stored and returned with all its digits.';
        ELSIF value ~ '(^|[,:\s[])-?[0-9.]+([eE][+-]?0*[1-9][0-9]{2}|[0-9]{100})' AND mqtt.has_extreme_number(v_value) THEN
            RAISE EXCEPTION 'payload_invalid' USING
                ERRCODE = 'PT400',
                DETAIL = 'The JSON holds a number outside the range of a double precision float.',
                HINT = 'Send such a number as a string.';
        END IF;
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
GRANT EXECUTE ON FUNCTION mqtt.has_extreme_number(jsonb), mqtt.is_too_deep(jsonb, integer), mqtt.checked_jsonb(text, integer), mqtt.json_reason(json, integer),
mqtt.has_far_numbers(jsonb), mqtt.has_far_exponents(text), mqtt.far_exponents_reason(), mqtt.payload_has_far_exponents(text, integer) TO authenticated, service_role;
COMMIT;
