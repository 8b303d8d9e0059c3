-- Deploy topicbase:process/work_queue to pg
-- requires: process/attempts
-- requires: process/workers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE PROCEDURE mqtt.work_queue(batch_size integer DEFAULT 1000)
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
    -- Every name here has its schema, operators are functions: what commits cannot have a search_path of its own.
    v_worker_id CONSTANT pg_catalog.uuid := pg_catalog.gen_random_uuid();
    v_began CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    v_is_orphaned pg_catalog.bool;
    v_msg_id pg_catalog.int8;
    v_counts pg_catalog.jsonb;
BEGIN
    PERFORM pg_catalog.pg_advisory_lock(mqtt.bridge_lock(v_worker_id));
    v_is_orphaned := mqtt.begin_work(v_worker_id);
    COMMIT;
    IF v_is_orphaned THEN
        -- Whoever was at it before ended in the middle, perhaps because of a message: as many as a batch one by one, each attempt counted before.
        FOR v_attempt IN 1..batch_size LOOP
            v_msg_id := mqtt.begin_attempt(v_began);
            COMMIT;
            EXIT WHEN v_msg_id IS NULL OR pg_catalog.int8eq(v_msg_id, 0);
            PERFORM mqtt.finish_attempt(v_msg_id);
            COMMIT;
        END LOOP;
    END IF;
    LOOP
        v_counts := mqtt.process_batch(batch_size);
        COMMIT;
        EXIT WHEN NOT pg_catalog.jsonb_extract_path_text(v_counts, 'more')::pg_catalog.bool;
    END LOOP;
    PERFORM mqtt.end_work(v_worker_id);
    PERFORM pg_catalog.pg_advisory_unlock(mqtt.bridge_lock(v_worker_id));
END;
$$;
COMMENT ON PROCEDURE mqtt.work_queue(integer) IS  -- noqa: LT01
'Works the queue off, a transaction for each batch, for a scheduler: SELECT cron.schedule(''topicbase queue'', ''* * * * *'', ''CALL mqtt.work_queue()''). A message that ends the session, or hangs until the session''s statement_timeout, costs itself an attempt in each further call, and becomes a dead letter like any other. May run beside bridges and beside itself.';
REVOKE ALL ON PROCEDURE mqtt.work_queue(integer) FROM public;
COMMIT;
