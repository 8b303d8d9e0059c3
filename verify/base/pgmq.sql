-- Verify topicbase:base/pgmq on pg
BEGIN;
DO $$
DECLARE
    v_role text;
BEGIN
    PERFORM 'pgmq.create(text)'::regprocedure, 'pgmq.meta'::regclass;
    FOREACH v_role IN ARRAY ARRAY['anon', 'authenticated', 'service_role', 'mqtt_bridge'] LOOP
        IF has_schema_privilege(v_role, 'pgmq', 'usage') OR has_function_privilege(v_role, 'pgmq.send(text, jsonb)', 'execute') THEN
            RAISE EXCEPTION 'role % reaches pgmq directly', v_role;
        END IF;
    END LOOP;
END;
$$;
ROLLBACK;
