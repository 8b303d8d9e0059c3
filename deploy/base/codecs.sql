-- Deploy topicbase:base/codecs to pg
-- requires: base/py_check_transform
-- requires: base/py_decode_binary
-- requires: base/py_decode_cayenne
-- requires: base/py_decode_cbor
-- requires: base/py_decode_csv
-- requires: base/py_decode_influx
-- requires: base/py_decode_msgpack
-- requires: base/py_decode_protobuf
-- requires: base/py_decode_senml
-- requires: base/py_decode_sparkplug
-- requires: base/py_decompress
-- requires: base/py_protobuf_layout
-- requires: base/py_seal
-- requires: base/py_transform
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.codecs() RETURNS TABLE (codec text, available boolean, reason text)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_codec record;
BEGIN
    FOR v_codec IN
        SELECT *
        FROM (VALUES ('cbor', 'py_decode_cbor', NULL), ('msgpack', 'py_decode_msgpack', NULL), ('sparkplug', 'py_decode_sparkplug', NULL),
            ('influx', 'py_decode_influx', NULL), ('csv', 'py_decode_csv', NULL), ('cayenne', 'py_decode_cayenne', NULL),
            ('senml', 'py_decode_senml', NULL), ('binary', 'py_decode_binary', NULL), ('protobuf', 'py_decode_protobuf', NULL), ('decompress', 'py_decompress', NULL),
            ('transform', 'py_transform', 'jmespath'), ('seal', 'py_seal', 'nacl'))
            AS c (name, change, module)
    LOOP
        codec := v_codec.name;
        reason := NULL;
        BEGIN
            CASE v_codec.name
                WHEN 'cbor' THEN PERFORM mqtt.py_decode_cbor('\xf6');
                WHEN 'msgpack' THEN PERFORM mqtt.py_decode_msgpack('\xc0');
                WHEN 'sparkplug' THEN PERFORM mqtt.py_decode_sparkplug('{}', '{}', '{}', '{}', '{}');
                WHEN 'influx' THEN PERFORM mqtt.py_decode_influx('');
                WHEN 'csv' THEN PERFORM mqtt.py_decode_csv('', 'null');
                WHEN 'cayenne' THEN PERFORM mqtt.py_decode_cayenne('');
                WHEN 'senml' THEN PERFORM mqtt.py_decode_senml('[]', 0);
                WHEN 'binary' THEN PERFORM mqtt.py_decode_binary('', '[]');
                WHEN 'protobuf' THEN PERFORM mqtt.py_decode_protobuf('', '{"message": "x", "types": {"x": []}}');
                WHEN 'decompress' THEN PERFORM mqtt.py_decompress('\x789c030000000001', 'zlib');
                WHEN 'transform' THEN PERFORM mqtt.py_transform('{}', '{}'), mqtt.py_check_transform('@');
                WHEN 'seal' THEN PERFORM mqtt.py_seal(decode(repeat('09', 32), 'hex'), '');
            END CASE;
        EXCEPTION
            WHEN undefined_function THEN
                reason := concat(
                    'not created', ', since ' || mqtt.plpython_obstacle(v_codec.module),
                    format('; run as superuser: psql -f deploy/base/%s.sql', v_codec.change)
                );
            -- The last two: the server does not find the library of PL/Python, or cannot load it.
            WHEN external_routine_exception OR undefined_file OR internal_error THEN
                reason := sqlerrm;
        END;
        available := reason IS NULL;
        RETURN NEXT;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.codecs() IS
'Which parts in PL/Python work here (cbor, msgpack, sparkplug, influx, csv, cayenne, senml, binary, protobuf, decompress, transform, seal) and, where one does not, why and what to do; each is tried.';
COMMIT;
