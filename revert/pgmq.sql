-- Revert topicbase:pgmq from pg
BEGIN;
-- pgmq may serve other queues: it goes only when no queue is left in it.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pgmq.meta) THEN
        REVOKE USAGE ON SCHEMA pgmq FROM mqtt_owner;
        RAISE NOTICE 'pgmq stays: it holds queues that are not ours.';
    ELSIF EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'pgmq') THEN
        DROP EXTENSION pgmq;
    ELSE
        SET LOCAL client_min_messages = warning;
        DROP SCHEMA pgmq CASCADE;
    END IF;
END;
$$;
COMMIT;
