-- Deploy topicbase:base/decode_payload to pg
-- requires: base/codecs
-- requires: base/decoded_payload
-- requires: base/json
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.decode_payload(content_type text, body bytea) RETURNS mqtt.decoded_payload
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_type text := lower(btrim(split_part(content_type, ';', 1)));
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
                IF v_type = 'application/json' THEN
                    NULL;  -- why not is told below
                ELSIF v_text IS NULL THEN
                    RETURN v_decoded;
                ELSIF SQLERRM = 'payload_too_deep' THEN
                    GET STACKED DIAGNOSTICS v_decoded.decode_error = PG_EXCEPTION_DETAIL;
                    RETURN v_decoded;
                ELSE
                    -- No content type: text where it is UTF-8 and no JSON.
                    RETURN ROW(to_jsonb(v_text), NULL, NULL)::mqtt.decoded_payload;
                END IF;
        END;
    END IF;
    BEGIN
        IF v_type = 'application/cbor' OR v_type LIKE '%+cbor' THEN
            IF to_regprocedure('mqtt.py_decode_cbor(bytea)') IS NULL THEN
                v_decoded.decode_error := 'codec_unavailable: this server has no CBOR decoder (see mqtt.codecs())';
                RETURN v_decoded;
            END IF;
            RETURN ROW(mqtt.py_decode_cbor(body), NULL, NULL)::mqtt.decoded_payload;
        ELSIF v_type IN ('application/msgpack', 'application/x-msgpack', 'application/vnd.msgpack') THEN
            IF to_regprocedure('mqtt.py_decode_msgpack(bytea)') IS NULL THEN
                v_decoded.decode_error := 'codec_unavailable: this server has no MessagePack decoder (see mqtt.codecs())';
                RETURN v_decoded;
            END IF;
            RETURN ROW(mqtt.py_decode_msgpack(body), NULL, NULL)::mqtt.decoded_payload;
        ELSIF v_type LIKE 'text/%' THEN
            RETURN ROW(to_jsonb(convert_from(body, 'UTF8')), NULL, NULL)::mqtt.decoded_payload;
        ELSIF v_type = 'application/json' OR v_type LIKE '%+json' THEN
            RETURN ROW(mqtt.checked_jsonb(convert_from(body, 'UTF8')), NULL, NULL)::mqtt.decoded_payload;
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
