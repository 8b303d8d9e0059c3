-- Revert topicbase:base/pgmq from pg
BEGIN;
-- pgmq goes where it came from here and no queue of others is left in it.
DO $$
DECLARE
    v_extension CONSTANT oid := (SELECT oid FROM pg_catalog.pg_extension WHERE extname = 'pgmq');
    v_comment CONSTANT text := CASE
        WHEN v_extension IS NULL THEN obj_description('pgmq'::regnamespace, 'pg_namespace')
        ELSE obj_description(v_extension, 'pg_extension')
    END;
BEGIN
    IF v_comment IS DISTINCT FROM 'Message queues, installed for topicbase' OR EXISTS (SELECT FROM pgmq.meta) THEN
        REVOKE ALL ON SCHEMA pgmq FROM mqtt_owner;
        RAISE NOTICE 'pgmq stays: it was here before, or holds queues that are not ours.';
    ELSIF v_extension IS NOT NULL THEN
        DROP EXTENSION pgmq;
        -- CREATE EXTENSION has made the schema, which is no part of it.
        BEGIN
            DROP SCHEMA IF EXISTS pgmq;
        EXCEPTION
            WHEN dependent_objects_still_exist THEN
                REVOKE ALL ON SCHEMA pgmq FROM mqtt_owner;
        END;
    ELSE
        SET LOCAL client_min_messages = warning;
        DROP SCHEMA pgmq CASCADE;
    END IF;
END;
$$;
COMMIT;
