-- Deploy topicbase:process/rule_values to pg
-- requires: base/decode_payload
-- requires: tables/payload_rules
-- requires: tables/readings
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.bytes_as(format text, body bytea, layout jsonb, is_encoded boolean, received_at timestamptz) RETURNS mqtt.decoded_payload
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_decoded mqtt.decoded_payload;
BEGIN
    -- A statement for each, as one that names a function that is not there fails as a whole.
    CASE format
        WHEN 'json', 'text', 'cbor', 'msgpack' THEN
            RETURN mqtt.decode_payload(CASE format WHEN 'text' THEN 'text/plain' ELSE 'application/' || format END, body);
        WHEN 'hex', 'base64', 'gzip', 'zlib' THEN
            RETURN ROW(to_jsonb(encode(body, 'hex')), NULL, NULL)::mqtt.decoded_payload;
        WHEN 'influx' THEN
            v_decoded.payload := mqtt.py_decode_influx(body);
        WHEN 'csv' THEN
            v_decoded.payload := mqtt.py_decode_csv(body, coalesce(layout, 'null')::text);
        WHEN 'cayenne' THEN
            v_decoded.payload := mqtt.py_decode_cayenne(body);
        WHEN 'protobuf' THEN
            v_decoded.payload := mqtt.py_decode_protobuf(body, layout::text);
        WHEN 'binary' THEN
            v_decoded.payload := mqtt.py_decode_binary(body, layout::text);
        WHEN 'senml', 'senml-cbor' THEN
            v_decoded := mqtt.decode_payload(CASE WHEN format = 'senml-cbor' AND is_encoded THEN 'application/cbor' ELSE 'application/json' END, body);
            IF v_decoded.body IS NULL THEN
                v_decoded.payload := mqtt.py_decode_senml(v_decoded.payload::text, extract(EPOCH FROM received_at)::double precision);
            END IF;
    END CASE;
    IF mqtt.has_far_numbers(v_decoded.payload) THEN
        RETURN ROW('null'::jsonb, body, mqtt.far_exponents_reason())::mqtt.decoded_payload;
    END IF;
    RETURN v_decoded;
END;
$$;
COMMENT ON FUNCTION mqtt.bytes_as(text, bytea, jsonb, boolean, timestamptz) IS
'Bytes decoded as a format, of the layout of its fields or columns; as hexadecimal text where nothing more is known of them. is_encoded: whether SenML in CBOR is bytes, and not the JSON that these have become.';

CREATE OR REPLACE FUNCTION mqtt.rule_document(
    decode text, payload jsonb, body bytea, layout jsonb DEFAULT NULL, received_at timestamptz DEFAULT now()
) RETURNS mqtt.decoded_payload
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_bytes bytea := coalesce(body, convert_to(CASE jsonb_typeof(payload) WHEN 'string' THEN payload #>> '{}' ELSE payload::text END, 'UTF8'));
    v_steps CONSTANT text [] := string_to_array(decode, ' ');
    v_step text;
BEGIN
    -- Decoded by its content type, a document is one already.
    IF body IS NULL AND (decode = 'json' OR decode IN ('cbor', 'msgpack') AND jsonb_typeof(payload) <> 'string') OR decode = 'sparkplug' AND payload ? 'sparkplug' THEN
        RETURN ROW(payload, NULL, NULL)::mqtt.decoded_payload;
    ELSIF decode = 'sparkplug' THEN
        RETURN ROW('null'::jsonb, v_bytes, 'it is no Sparkplug B payload, or too large with its names, or the server has no PL/Python')::mqtt.decoded_payload;
    END IF;
    FOREACH v_step IN ARRAY v_steps LOOP
        IF v_step IN ('hex', 'base64') THEN
            v_bytes := decode(translate(rtrim(convert_from(v_bytes, 'UTF8'), E' \r\n='), '-_', '+/')
                || CASE WHEN v_step = 'base64' THEN repeat('=', (4 - length(rtrim(convert_from(v_bytes, 'UTF8'), E' \r\n=')) % 4) % 4) ELSE '' END, v_step);
        ELSIF v_step IN ('gzip', 'zlib') THEN
            v_bytes := mqtt.py_decompress(v_bytes, v_step);
            -- Decoders in Python take seconds for a MiB, cannot be interrupted, and a document of half of this is not interpreted.
            IF octet_length(v_bytes) > 262144 THEN
                RAISE program_limit_exceeded USING MESSAGE = 'more than 262144 bytes come out';
            END IF;
        END IF;
    END LOOP;
    RETURN mqtt.bytes_as(v_step, v_bytes, layout, body IS NOT NULL OR cardinality(v_steps) > 1, received_at);
EXCEPTION
    -- There is no such function, or the server no longer loads PL/Python.
    WHEN undefined_function OR undefined_file OR internal_error THEN
        RETURN ROW('null'::jsonb, v_bytes, format('codec_unavailable: this server does not decode %s (see mqtt.codecs())', v_step))::mqtt.decoded_payload;
    WHEN data_exception OR external_routine_exception OR program_limit_exceeded THEN
        RETURN ROW('null'::jsonb, v_bytes, format('it is not %s: %s', v_step, left(regexp_replace(sqlerrm, '^\w+Error: ', ''), 200)))::mqtt.decoded_payload;
END;
$$;
COMMENT ON FUNCTION mqtt.rule_document(text, jsonb, bytea, jsonb, timestamptz) IS
'A message (payload, or body as its bytes) decoded: hex, base64, gzip and zlib (of which 256 KiB come out at most) first, then the format, of the layout of its fields or columns. Relative times in it refer to received_at.';

CREATE OR REPLACE FUNCTION mqtt.member_document(decode text, payload jsonb, layout jsonb, received_at timestamptz) RETURNS mqtt.decoded_payload
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name CONSTANT text := split_part(decode, ' of ', 2);
    v_path CONSTANT text [] := CASE
        WHEN v_name LIKE '%"%' THEN ARRAY(SELECT coalesce(m[1], m[2]) FROM regexp_matches(v_name, '\.(?:"([^"]+)"|(\w+))', 'g') AS m)
        ELSE string_to_array(substr(v_name, 3), '.')
    END;
    v_member CONSTANT jsonb := payload #> v_path;
    v_decoded mqtt.decoded_payload := ROW('null'::jsonb, convert_to(v_member #>> '{}', 'UTF8'), format('there is no text at %s', v_name));
BEGIN
    IF jsonb_typeof(v_member) = 'string' THEN
        v_decoded := mqtt.rule_document(split_part(decode, ' of ', 1), v_member, v_decoded.body, layout, received_at);
        IF v_decoded.decode_error IS NULL AND v_decoded.body IS NULL THEN
            RETURN ROW(jsonb_set(payload, v_path, v_decoded.payload), NULL, NULL)::mqtt.decoded_payload;
        END IF;
    END IF;
    RETURN v_decoded;
END;
$$;
COMMENT ON FUNCTION mqtt.member_document(text, jsonb, jsonb, timestamptz) IS
'A payload with a member of it (base64 cayenne of $.data) decoded in its place.';

CREATE OR REPLACE FUNCTION mqtt.flat_members(document jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT jsonb_path_exists(document, 'strict $.* ? (@.type() == "object" || @.type() == "array")') THEN
        RETURN document;
    END IF;
    -- A long key is a part of the name of each member below it. Most nest once, which takes half as long this way.
    IF NOT jsonb_path_exists(document, 'strict $.* ? (@.type() == "object").* ? (@.type() == "object")') THEN
        RETURN (
            SELECT coalesce(jsonb_object_agg(m.name, m.value), '{}')
            FROM (
                SELECT a.key AS name, a.value
                FROM jsonb_each(document) AS a
                WHERE jsonb_typeof(a.value) <> 'object'
                UNION ALL
                SELECT a.key || '.' || b.key, b.value
                FROM jsonb_each(document) AS a
                CROSS JOIN LATERAL jsonb_each(CASE WHEN octet_length(a.key) < 255 THEN a.value END) AS b
                WHERE jsonb_typeof(a.value) = 'object' AND octet_length(a.key) + octet_length(b.key) < 255
            ) AS m
            WHERE jsonb_typeof(m.value) <> 'array'
        );
    END IF;
    RETURN (
        WITH RECURSIVE member AS (
            SELECT e.key AS name, e.value, 1 AS depth
            FROM jsonb_each(document) AS e
            UNION ALL
            SELECT m.name || '.' || e.key, e.value, m.depth + 1
            FROM member AS m
            CROSS JOIN LATERAL jsonb_each(m.value) AS e
            WHERE jsonb_typeof(m.value) = 'object' AND m.depth < 8 AND octet_length(m.name) < 255
        )
        SELECT coalesce(jsonb_object_agg(m.name, m.value), '{}')
        FROM member AS m
        WHERE jsonb_typeof(m.value) NOT IN ('object', 'array') AND (m.depth = 1 OR octet_length(m.name) <= 255)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.flat_members(jsonb) IS 'An object with its nested members by their path, with dots, at most eight levels deep and of 255 bytes; arrays are left out.';

CREATE OR REPLACE FUNCTION mqtt.rule_time(value jsonb, unit text, zone text) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_number CONSTANT numeric := CASE WHEN unit IS NOT NULL THEN mqtt.metric_number(value) END;
    v_seconds numeric;
BEGIN
    IF unit IS NULL THEN
        IF zone IS NOT NULL AND value #>> '{}' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?$' AND mqtt.device_time(value) IS NOT NULL THEN
            RETURN (value #>> '{}')::timestamp AT TIME ZONE zone;
        END IF;
        RETURN mqtt.device_time(value);
    ELSIF abs(v_number) < 1e21 THEN
        v_seconds := round(v_number / CASE unit WHEN 's' THEN 1 WHEN 'ms' THEN 1e3 WHEN 'us' THEN 1e6 ELSE 1e9 END, 6);
        IF v_seconds BETWEEN -62135596800 AND 253402300799 THEN
            RETURN to_timestamp(v_seconds::double precision);
        END IF;
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.rule_time(jsonb, text, text) IS
'A time in a payload: a number of the unit since 1970, else as mqtt.device_time, a local date and time being that of the zone (else UTC); null when it is none.';

CREATE OR REPLACE FUNCTION mqtt.typed_value(value jsonb, type text) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE type
        WHEN 'number' THEN CASE WHEN jsonb_typeof(value) = 'boolean' THEN to_jsonb((value = 'true')::integer) ELSE to_jsonb(mqtt.metric_number(value)) END
        WHEN 'string' THEN CASE WHEN jsonb_typeof(value) IN ('string', 'number', 'boolean') THEN to_jsonb(value #>> '{}') END
        WHEN 'boolean' THEN CASE lower(value #>> '{}')
            WHEN 'true' THEN 'true'::jsonb WHEN 'on' THEN 'true' WHEN '1' THEN 'true' WHEN 'yes' THEN 'true'
            WHEN 'false' THEN 'false' WHEN 'off' THEN 'false' WHEN '0' THEN 'false' WHEN 'no' THEN 'false'
        END
        ELSE value
    END;
END;
COMMENT ON FUNCTION mqtt.typed_value(jsonb, text) IS 'The value as a number, string or boolean, from strings such as "21.5" and "ON" too; null where it is none; as it is without a type.';

CREATE OR REPLACE FUNCTION mqtt.presence_state(value jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN lower(value #>> '{}') = ANY ('{online,true,1,on,connected,ready,init,alert,birth,alive,up,available}') THEN 'online'
        WHEN lower(value #>> '{}') = ANY ('{offline,false,0,off,disconnected,sleeping,lost,death,dead,down,unavailable}') THEN 'offline'
    END;
END;
COMMENT ON FUNCTION mqtt.presence_state(jsonb) IS 'What a status says of presence: online, offline, or null where it says neither.';
COMMIT;
