-- Deploy topicbase:careful_attempts to pg
-- requires: process_batch
-- requires: bridge_hello
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION mqtt.begin_attempt(accepted_before timestamptz, suspects bigint [] DEFAULT NULL) RETURNS bigint
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
        IF NOT pg_try_advisory_xact_lock(1953460323, hashtext(v_next.organization_id::text)) THEN
            v_busy := v_busy || v_next.organization_id;
            CONTINUE;
        END IF;
        SELECT q.ctid, q.msg_id, q.attempts, coalesce((i.settings ->> 'max_attempts')::integer, c.max_attempts) AS max_attempts
        INTO v_row
        FROM pgmq.q_mqtt_messages AS q
        CROSS JOIN mqtt.configuration AS c
        LEFT JOIN mqtt.device_integrations AS i ON i.id = q.integration_id
        WHERE q.msg_id = v_next.msg_id
        FOR UPDATE OF q;
        CONTINUE WHEN NOT found;
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
'Counts an attempt for the oldest due message accepted until then (and among suspects, where given) and hides it for a minute; to be committed before mqtt.finish_attempt. What has used up its attempts so becomes a dead letter. Returns its msg_id, 0 when another worker is at the organizations that are left, null when there is none. For the time after a worker died or hung: one message in its last batch may be why. One whose last attempt was interrupted may be begun again half a minute before a batch would take it.';

CREATE FUNCTION mqtt.undo_attempt(attempted bigint) RETURNS text
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

CREATE FUNCTION mqtt.finish_attempt(attempted bigint) RETURNS text
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
    ELSIF NOT pg_try_advisory_xact_lock(1953460323, hashtext(v_organization_id::text)) THEN
        RETURN mqtt.undo_attempt(attempted);
    END IF;
    -- Looked up and held under the lock: whoever held it before may have moved the row.
    SELECT q.ctid INTO v_tid FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = attempted FOR UPDATE;
    IF NOT found THEN
        RETURN 'gone';
    END IF;
    PERFORM mqtt.queue_callbacks(ARRAY[v_tid]);
    IF mqtt.store_messages(ARRAY[v_tid]) = 0 THEN
        RETURN 'gone';
    END IF;
    RETURN 'processed';
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

CREATE FUNCTION bridge.suspects(tids tid []) RETURNS bigint []
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(q.msg_id ORDER BY q.msg_id), '{}') FROM pgmq.q_mqtt_messages AS q WHERE q.ctid = ANY (tids);
$$;
COMMENT ON FUNCTION bridge.suspects(tid []) IS 'msg_ids of the batch that bridge.process_queue named before its session died or ran into its time limit: one of them may be why.';
GRANT EXECUTE ON FUNCTION bridge.suspects(tid []) TO mqtt_bridge;

CREATE FUNCTION bridge.begin_attempt(accepted_before timestamptz, suspects bigint [] DEFAULT NULL) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT mqtt.begin_attempt(accepted_before, suspects);
$$;
COMMENT ON FUNCTION bridge.begin_attempt(timestamptz, bigint []) IS
'mqtt.begin_attempt for the bridge: call until null after a worker session died or ran into its time limit; suspects: those of bridge.suspects, null when the batch is not known.';
GRANT EXECUTE ON FUNCTION bridge.begin_attempt(timestamptz, bigint []) TO mqtt_bridge;

CREATE FUNCTION bridge.finish_attempt(attempted bigint) RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT mqtt.finish_attempt(attempted);
$$;
COMMENT ON FUNCTION bridge.finish_attempt(bigint) IS 'mqtt.finish_attempt for the bridge, in a transaction after that of begin_attempt.';
GRANT EXECUTE ON FUNCTION bridge.finish_attempt(bigint) TO mqtt_bridge;

CREATE TABLE mqtt.workers (
    bridge_id uuid PRIMARY KEY
);
COMMENT ON TABLE mqtt.workers IS 'Bridges whose queue worker has begun and not worked the queue off yet: one that is gone may have died of a message.';
ALTER TABLE mqtt.workers ENABLE ROW LEVEL SECURITY;
CREATE POLICY service_reads ON mqtt.workers FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.workers TO service_role;

CREATE FUNCTION bridge.begin_work(bridge_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_orphaned boolean;
BEGIN
    DELETE FROM mqtt.workers AS w
    WHERE w.bridge_id <> begin_work.bridge_id AND pg_try_advisory_xact_lock(mqtt.bridge_lock(w.bridge_id));
    v_is_orphaned := found;
    INSERT INTO mqtt.workers (bridge_id) VALUES (begin_work.bridge_id) ON CONFLICT DO NOTHING;
    RETURN v_is_orphaned;
END;
$$;
COMMENT ON FUNCTION bridge.begin_work(uuid) IS
'A bridge''s queue worker begins. Answers whether another ended before its bridge.end_work: with its machine, perhaps, and perhaps because of a message.';
GRANT EXECUTE ON FUNCTION bridge.begin_work(uuid) TO mqtt_bridge;

CREATE FUNCTION bridge.end_work(bridge_id uuid) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM mqtt.workers AS w WHERE w.bridge_id = end_work.bridge_id;
$$;
COMMENT ON FUNCTION bridge.end_work(uuid) IS 'A bridge''s queue worker has worked the queue off, or ends in order.';
GRANT EXECUTE ON FUNCTION bridge.end_work(uuid) TO mqtt_bridge;
COMMIT;
