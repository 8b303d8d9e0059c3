-- Deploy topicbase:api/process_mqtt_queue to pg
-- requires: process/process_batch
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.process_mqtt_queue(batch_size integer DEFAULT 1000) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF batch_size IS NULL OR batch_size NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'batch_size_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'batch_size is out of range.', HINT = 'Take 1 to 100,000; 1,000 is a good size.';
    END IF;
    RETURN mqtt.process_batch(batch_size);
END;
$$;
COMMENT ON FUNCTION api.process_mqtt_queue(integer) IS
$md$Process queued messages

Moves up to `batch_size` due messages into the history with all their effects; safe to call from anywhere at any time, also beside the
bridge. Answers `{"processed", "failed", "dead", "more"}`: stored, waiting for another attempt, given up, and whether to call again: a
full batch was taken, or updates put aside while vacuum was held back were made instead. Errors: 400 `batch_size_invalid`.$md$;
GRANT EXECUTE ON FUNCTION api.process_mqtt_queue(integer) TO service_role;

CREATE OR REPLACE FUNCTION api.process_mqtt_queue_message(p_message_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_msg_id bigint;
    v_tid tid;
    v_organization_id uuid;
    v_counts integer [];
    v_status text;
    v_time CONSTANT timestamptz := mqtt.message_id_time(p_message_id);
    v_from timestamptz;
BEGIN
    SELECT q.msg_id, q.organization_id INTO v_msg_id, v_organization_id
    FROM pgmq.q_mqtt_messages AS q
    WHERE q.msg_id = mqtt.message_id_number(p_message_id) AND mqtt.message_id(q.enqueued_at, q.msg_id) = p_message_id
    UNION ALL
    SELECT q.msg_id, q.organization_id FROM pgmq.q_mqtt_messages AS q WHERE q.message_id = p_message_id
    LIMIT 1;
    IF found THEN
        -- Waits for the worker that may be at this organization just now; it may take the message itself, or move its row.
        PERFORM pg_advisory_xact_lock(1953460323, hashtext(v_organization_id::text));
        SELECT q.ctid INTO v_tid FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = v_msg_id FOR UPDATE;
    END IF;
    IF v_tid IS NOT NULL THEN
        v_counts := mqtt.store_or_split(ARRAY[v_tid]);
        v_status := CASE WHEN v_counts[1] = 1 THEN 'completed' WHEN v_counts[2] = 1 THEN 'pending' WHEN v_counts[3] = 1 THEN 'failed' END;
    END IF;
    IF v_status IS NULL THEN
        v_from := coalesce(v_time, now() - (SELECT c.idempotency_window FROM mqtt.configuration AS c));
        SELECT x.status INTO v_status
        FROM mqtt.organizations AS o
        CROSS JOIN LATERAL (
            SELECT 'completed' AS status
            FROM mqtt.mqtt_messages AS m
            WHERE m.organization_id = o.id AND m.id = p_message_id AND m.received_at >= v_from
                AND m.received_at <= coalesce(v_time + interval '1 millisecond', now())
            UNION ALL
            SELECT 'failed'
            FROM mqtt.mqtt_dead_letters AS d
            WHERE d.organization_id = o.id AND d.id = p_message_id AND d.failed_at >= v_from
        ) AS x
        LIMIT 1;
    END IF;
    IF v_status IS NULL THEN
        RAISE EXCEPTION 'message_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('No message %s is queued, stored or dead.', p_message_id),
            HINT = 'Take the message_id of an mqtt_ingest answer; messages leave when their retention ends.';
    END IF;
    RETURN jsonb_build_object('message_id', p_message_id, 'status', v_status);
END;
$$;
COMMENT ON FUNCTION api.process_mqtt_queue_message(uuid) IS
$md$Process one queued message

Answers `{"message_id", "status"}`: `completed` (stored, now or before), `pending` (the attempt failed, another follows) or `failed` (a dead
letter). Errors: 404 `message_not_found`.$md$;
GRANT EXECUTE ON FUNCTION api.process_mqtt_queue_message(uuid) TO service_role;
COMMIT;
