-- Verify topicbase:base/py_decode_protobuf on pg
-- Rendered by bin/embed-plpython from plpython/decode_protobuf.py: change it there.
BEGIN;
DO $$
DECLARE
    v_function CONSTANT regprocedure := to_regprocedure('mqtt.py_decode_protobuf(bytea, text)');
    v_obstacle text;
BEGIN
    IF v_function IS NULL THEN
        v_obstacle := mqtt.plpython_obstacle();
        IF v_obstacle IS NULL THEN
            RAISE EXCEPTION 'mqtt.py_decode_protobuf(bytea, text) is absent though nothing stands against it' USING
                HINT = 'Run as superuser: psql -f deploy/base/py_decode_protobuf.sql';
        END IF;
        RAISE NOTICE 'mqtt.py_decode_protobuf(bytea, text) is absent, since %', v_obstacle;
        RETURN;
    END IF;
    PERFORM mqtt.verify_function(v_function, false, 'i', '{}');
    IF NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_proc AS p
        INNER JOIN pg_catalog.pg_language AS l ON p.prolang = l.oid
        WHERE p.oid = v_function AND l.lanname = 'plpython3u' AND p.prorettype = 'jsonb'::regtype AND p.proisstrict = true
    ) THEN
        RAISE EXCEPTION '%: language, result or treatment of null differs', v_function;
    END IF;
END;
$$;
ROLLBACK;
