-- Deploy topicbase:process/attempts to pg
-- requires: process/process_batch
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.begin_attempt(accepted_before timestamptz, suspects bigint [] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- With suspects, it is their rows that are looked up.
SET plan_cache_mode = force_custom_plan
-- As in mqtt.store_messages: never the whole table, dead rows and all.
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_next record;
    v_row record;
    v_busy uuid [] := '{}';
BEGIN
    LOOP
        SELECT q.msg_id, q.organization_id INTO v_next
        FROM pgmq.q_mqtt_messages AS q
        WHERE q.enqueued_at <= accepted_before AND (suspects IS NULL OR q.msg_id = ANY (suspects)) AND q.organization_id <> ALL (v_busy)
            AND q.vt <= clock_timestamp() + CASE WHEN q.attempts > 0 AND q.errors -> -1 ->> 'code' = 'interrupted' THEN interval '30 seconds' ELSE '0' END
        ORDER BY q.msg_id
        LIMIT 1;
        EXIT WHEN NOT found;
        -- While another worker is at this organization, an attempt would end by waiting for it.
        IF NOT pg_try_advisory_xact_lock(mqtt.processing_lock(), hashtext(v_next.organization_id::text)) THEN
            v_busy := v_busy || v_next.organization_id;
            CONTINUE;
        END IF;
        SELECT q.ctid, q.msg_id, q.message_count, q.attempts, coalesce((i.settings ->> 'max_attempts')::integer, c.max_attempts) AS max_attempts
        INTO v_row
        FROM pgmq.q_mqtt_messages AS q
        CROSS JOIN mqtt.configuration AS c
        LEFT JOIN mqtt.device_integrations AS i ON i.id = q.integration_id
        WHERE q.msg_id = v_next.msg_id
        FOR UPDATE OF q;
        CONTINUE WHEN NOT found;
        IF v_row.message_count > 1 THEN
            PERFORM mqtt.split_item(v_row.ctid, NULL);
            CONTINUE;
        END IF;
        IF v_row.attempts < v_row.max_attempts THEN
            UPDATE pgmq.q_mqtt_messages AS q
            SET attempts = q.attempts + 1,
                vt = clock_timestamp() + interval '60 seconds',
                errors = coalesce(q.errors, '[]') || jsonb_build_object(
                    'at', clock_timestamp(), 'code', 'interrupted', 'error', 'The attempt ended with its database session or at its time limit.'
                )
            WHERE q.ctid = v_row.ctid;
            RETURN v_row.msg_id;
        END IF;
        PERFORM mqtt.record_failure(v_row.ctid, 'interrupted', 'Each attempt ended with its database session or at its time limit.', true);
    END LOOP;
    RETURN CASE WHEN v_busy <> '{}' THEN 0 END;
END;
$$;
COMMENT ON FUNCTION mqtt.begin_attempt(timestamptz, bigint []) IS
'Counts an attempt for the oldest due message accepted until then (and among suspects, where given) and hides it for a minute; to be committed before mqtt.finish_attempt. A message that exhausts its attempts this way becomes a dead letter. Returns its msg_id, 0 when another worker is at the organizations that are left, null when there is none. A work item is split first. For the time after a worker died or hung: one message in its last batch may be why. One whose last attempt was interrupted may be begun again half a minute before a batch would take it.';

CREATE OR REPLACE FUNCTION mqtt.undo_attempt(attempted bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- As in mqtt.store_messages: rows by address and key, however the tables stood when the plan was made.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    UPDATE pgmq.q_mqtt_messages AS q
    SET attempts = q.attempts - 1, errors = nullif(q.errors - (-1), '[]'), vt = clock_timestamp() + interval '1 second'
    WHERE q.msg_id = attempted AND q.attempts > 0;
    RETURN 'busy';
END;
$$;
COMMENT ON FUNCTION mqtt.undo_attempt(bigint) IS 'Takes back the attempt that mqtt.begin_attempt counted: somebody else''s lock, say, was in the way, and the message is not to blame.';

CREATE OR REPLACE FUNCTION mqtt.finish_attempt(attempted bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- As in mqtt.store_messages: rows by address and key, however the tables stood when the plan was made.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_tid tid;
    v_organization_id uuid;
BEGIN
    SELECT q.organization_id INTO v_organization_id FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = attempted;
    IF NOT found THEN
        RETURN 'gone';
    ELSIF NOT pg_try_advisory_xact_lock(mqtt.processing_lock(), hashtext(v_organization_id::text)) THEN
        RETURN mqtt.undo_attempt(attempted);
    END IF;
    -- Looked up and held under the lock: whoever held it before may have moved the row.
    SELECT q.ctid INTO v_tid FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = attempted FOR UPDATE;
    IF NOT found THEN
        RETURN 'gone';
    END IF;
    PERFORM mqtt.enqueue_callbacks(ARRAY[v_tid]);
    RETURN CASE mqtt.store_messages(ARRAY[v_tid]) WHEN '{1,0}' THEN 'processed' WHEN '{0,1}' THEN 'dead' ELSE 'gone' END;
EXCEPTION
    -- Not the message's fault; what the whole batch would be tried again for.
    WHEN lock_not_available OR serialization_failure OR deadlock_detected OR disk_full OR system_error OR insufficient_privilege
        OR undefined_function OR undefined_table THEN
        RETURN mqtt.undo_attempt(attempted);
    WHEN OTHERS THEN
        RETURN mqtt.record_failure(v_tid, SQLSTATE, SQLERRM, true);
END;
$$;
COMMENT ON FUNCTION mqtt.finish_attempt(bigint) IS
'Processes the message that mqtt.begin_attempt returned: processed, failed (waits for its next attempt), dead, gone, or busy (a lock or a fault of the server was in the way: the attempt does not count).';
COMMIT;
