-- Deploy topicbase:base/decode_payload to pg
-- requires: base/codecs
-- requires: base/decoded_payload
-- requires: base/json
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.media_type(content_type text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT lower(btrim(split_part(content_type, ';', 1)));
END;
COMMENT ON FUNCTION mqtt.media_type(text) IS 'A content type without its parameters (RFC 9110 section 8.3.1), in lower case.';

CREATE OR REPLACE FUNCTION mqtt.payload_form(media_type text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN media_type IN ('application/json', 'text/json') OR media_type LIKE '%+json' THEN 'json'
        WHEN media_type = 'application/cbor' OR media_type LIKE '%+cbor' THEN 'cbor'
        WHEN media_type IN ('application/msgpack', 'application/x-msgpack', 'application/vnd.msgpack') THEN 'msgpack'
        WHEN media_type LIKE 'text/%' THEN 'text'
    END;
END;
COMMENT ON FUNCTION mqtt.payload_form(text) IS 'How payloads of that media type (mqtt.media_type) are decoded: json, cbor, msgpack or text; null where they stay bytes.';

CREATE OR REPLACE FUNCTION mqtt.untyped_payload(body bytea, content text) RETURNS mqtt.decoded_payload
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_trimmed text;
BEGIN
    IF starts_with(content, U&'\FEFF') THEN
        BEGIN
            RETURN ROW(mqtt.quick_jsonb(substr(content, 2)), NULL, NULL)::mqtt.decoded_payload;
        EXCEPTION
            WHEN data_exception OR SQLSTATE 'PT400' THEN
                NULL;
        END;
    ELSIF content IS NULL AND get_byte(body, octet_length(body) - 1) = 0 THEN
        -- Programs in C send the end of a string with it.
        BEGIN
            v_trimmed := convert_from(rtrim(body, '\x00'), 'UTF8');
        EXCEPTION
            WHEN data_exception THEN
                NULL;
        END;
    END IF;
    IF content IS NULL THEN
        RETURN ROW(
            'null'::jsonb, body, CASE WHEN v_trimmed ~ '^[^\x01-\x08\x0e-\x1f\x7f]+$' THEN 'it is text that ends with zero bytes' END
        )::mqtt.decoded_payload;
    END IF;
    RETURN ROW(
        to_jsonb(content), NULL, CASE WHEN content ~ '^\uFEFF?\s*(\[\s*)?\{\s*["}]' THEN 'it begins like JSON, and is none' END
    )::mqtt.decoded_payload;
END;
$$;
COMMENT ON FUNCTION mqtt.untyped_payload(bytea, text) IS
'A payload without a content type that is no JSON: text (content) where it is UTF-8, else bytes; JSON after a byte order mark (RFC 8259 section 8.1) after all. decode_error tells where it was probably meant to be more.';

CREATE OR REPLACE FUNCTION mqtt.decode_payload(content_type text, body bytea) RETURNS mqtt.decoded_payload
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_type CONSTANT text := mqtt.media_type(content_type);
    v_form CONSTANT text := mqtt.payload_form(v_type);
    v_decoded mqtt.decoded_payload := ROW('null'::jsonb, body, NULL);
    v_text text;
BEGIN
    -- Nearly all are JSON: one block for them, and no call into another.
    IF coalesce(v_type, '') IN ('', 'application/json') THEN
        BEGIN
            v_text := convert_from(body, 'UTF8');
            RETURN ROW(mqtt.quick_jsonb(v_text), NULL, NULL)::mqtt.decoded_payload;
        EXCEPTION
            WHEN data_exception OR SQLSTATE 'PT400' THEN
                GET STACKED DIAGNOSTICS v_decoded.decode_error = PG_EXCEPTION_DETAIL;
                IF SQLERRM = 'payload_too_deep' OR v_decoded.decode_error = mqtt.far_exponents_reason() THEN
                    RETURN v_decoded;
                ELSIF v_type IS DISTINCT FROM 'application/json' THEN  -- why not is told below
                    RETURN mqtt.untyped_payload(body, v_text);
                END IF;
        END;
    END IF;
    BEGIN
        IF v_form = 'cbor' THEN
            IF to_regprocedure('mqtt.py_decode_cbor(bytea)') IS NULL THEN
                v_decoded.decode_error := 'codec_unavailable: this server has no CBOR decoder (see mqtt.codecs())';
                RETURN v_decoded;
            END IF;
            v_decoded.payload := mqtt.py_decode_cbor(body);
        ELSIF v_form = 'msgpack' THEN
            IF to_regprocedure('mqtt.py_decode_msgpack(bytea)') IS NULL THEN
                v_decoded.decode_error := 'codec_unavailable: this server has no MessagePack decoder (see mqtt.codecs())';
                RETURN v_decoded;
            END IF;
            v_decoded.payload := mqtt.py_decode_msgpack(body);
        ELSIF v_form = 'text' THEN
            RETURN ROW(to_jsonb(convert_from(body, 'UTF8')), NULL, NULL)::mqtt.decoded_payload;
        ELSIF v_form = 'json' THEN
            RETURN ROW(mqtt.checked_jsonb(convert_from(body, 'UTF8')), NULL, NULL)::mqtt.decoded_payload;
        END IF;
        IF mqtt.has_far_numbers(v_decoded.payload) THEN
            v_decoded := ROW('null'::jsonb, body, mqtt.far_exponents_reason());
        ELSIF v_form IS NOT NULL THEN
            v_decoded.body := NULL;
        END IF;
        RETURN v_decoded;
    EXCEPTION
        WHEN OTHERS THEN
            -- A payload that is not what it says is kept as it came: that is data, not a failure of ours.
            v_decoded.decode_error := left(regexp_replace(SQLERRM, '^ValueError: ', ''), 300);
            IF SQLSTATE = 'PT400' THEN
                GET STACKED DIAGNOSTICS v_decoded.decode_error = PG_EXCEPTION_DETAIL;
            END IF;
            RETURN v_decoded;
    END;
END;
$$;
COMMENT ON FUNCTION mqtt.decode_payload(text, bytea) IS
'Payload bytes as JSON, by media type: JSON, CBOR and MessagePack are decoded, text/* becomes a string, other types stay bytes (payload null, body set); without a type JSON, else UTF-8 text, else bytes. What is not what it says keeps its bytes and says why in decode_error.';
COMMIT;
