-- Deploy topicbase:api/process_mqtt_queue to pg
-- requires: base/argument_aliases
-- requires: base/require_argument
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
            ERRCODE = 'PT400', DETAIL = 'batch_size must be from 1 to 100,000.', HINT = '1,000 is a good size.';
    END IF;
    RETURN mqtt.process_batch(batch_size) - 'is_cut';
END;
$$;
COMMENT ON FUNCTION api.process_mqtt_queue(integer) IS
$md$Process queued messages

Moves up to `batch_size` due messages into the history with all their effects; you may call it from anywhere at any time, even while the
bridge runs. Returns `{"processed", "failed", "dead", "more"}`: messages stored, messages that wait for another attempt, new dead letters,
and whether to call again: a full batch was taken, or, instead of a batch, updates were applied that had been deferred while vacuum was held
back.
Errors: 400 `batch_size_invalid`.
Answer: {"processed": "integer", "failed": "integer", "dead": "integer", "more": "boolean"}$md$;
GRANT EXECUTE ON FUNCTION api.process_mqtt_queue(integer) TO service_role;

CREATE OR REPLACE FUNCTION mqtt.settled_status(id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_organizations CONSTANT integer [] := ARRAY(SELECT o.number FROM mqtt.organizations AS o);
    v_flags smallint;
BEGIN
    SELECT p.flags INTO v_flags
    FROM mqtt.packed_history AS p
    WHERE p.topic = ANY (mqtt.packed_topics(v_organizations, settled_status.id)) AND p.id = settled_status.id
    LIMIT 1;
    IF found THEN
        RETURN CASE WHEN v_flags & 256 = 256 THEN 'failed' ELSE 'completed' END;
    END IF;
    RETURN (
        SELECT x.status
        FROM mqtt.organizations AS o
        CROSS JOIN LATERAL (
            SELECT CASE WHEN h.flags & 256 = 256 THEN 'failed' ELSE 'completed' END AS status
            FROM mqtt.history AS h
            WHERE h.organization = o.number AND h.received_at = mqtt.message_id_time(settled_status.id) AND h.id = settled_status.id
            UNION ALL
            SELECT CASE WHEN h.flags & 256 = 256 THEN 'failed' ELSE 'completed' END
            FROM mqtt.history AS h
            WHERE h.organization = o.number AND h.flags & 16 = 16 AND h.id = settled_status.id
            UNION ALL
            SELECT 'failed'
            FROM mqtt.mqtt_dead_letters AS d
            WHERE d.organization_id = o.id AND d.id = settled_status.id
        ) AS x
        LIMIT 1
    );
END;
$$;
COMMENT ON FUNCTION mqtt.settled_status(uuid) IS 'completed for a message of the history, failed for a dead letter, whether or not the history has it; null for any other id.';

CREATE OR REPLACE FUNCTION api.process_mqtt_queue_message(message_id uuid DEFAULT NULL, p_message_id uuid DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id CONSTANT uuid := mqtt.one_of(message_id, p_message_id, 'message_id', 'p_message_id');
    v_msg_id bigint;
    v_tid tid;
    v_organization_id uuid;
    v_counts integer [];
    v_status text;
BEGIN
    SELECT q.msg_id, q.organization_id INTO v_msg_id, v_organization_id
    FROM pgmq.q_mqtt_messages AS q
    CROSS JOIN mqtt.message_id_key AS k
    WHERE q.enqueued_at = mqtt.message_id_time(v_id) AND q.organization IS NULL AND mqtt.keyed_message_id(q.enqueued_at, q.msg_id, k.key, q.place) = v_id
    UNION ALL
    SELECT q.msg_id, q.organization_id FROM pgmq.q_mqtt_messages AS q WHERE q.message_id = v_id
    UNION ALL
    SELECT h.position, i.organization_id
    FROM mqtt.history AS h
    CROSS JOIN LATERAL mqtt.item_of(h.position) AS i
    WHERE h.received_at = mqtt.message_id_time(v_id) AND h.id = v_id
    LIMIT 1;
    IF found THEN
        -- Waits for a worker that has this organization now; that worker may take the message itself, or move its row.
        PERFORM pg_advisory_xact_lock(mqtt.processing_lock(), hashtext(v_organization_id::text));
        SELECT q.ctid INTO v_tid FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = v_msg_id AND q.organization IS NULL FOR UPDATE;
        v_tid := coalesce(v_tid, mqtt.isolate_message(v_msg_id));
    END IF;
    IF v_tid IS NOT NULL THEN
        v_counts := mqtt.store_or_split(ARRAY[v_tid]);
        v_status := CASE WHEN v_counts[1] = 1 THEN 'completed' WHEN v_counts[2] = 1 THEN 'pending' WHEN v_counts[3] = 1 THEN 'failed' END;
    END IF;
    v_status := coalesce(v_status, mqtt.settled_status(v_id));
    IF v_status IS NULL THEN
        PERFORM mqtt.require_argument('message_id', v_id::text);
        RAISE EXCEPTION 'message_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('No message %s is queued, stored or dead.', v_id),
            HINT = 'Use the message_id that mqtt_ingest returned; messages are removed when their retention ends.';
    END IF;
    RETURN jsonb_build_object('message_id', v_id, 'status', v_status);
END;
$$;
COMMENT ON FUNCTION api.process_mqtt_queue_message(uuid, uuid) IS
$md$Process one queued message

`p_message_id` is another name for `message_id`. Returns `{"message_id", "status"}`: `completed` (stored, now or earlier), `pending` (the
attempt failed; another follows) or `failed` (a dead letter).
Errors: 400 `argument_conflict`; 404 `message_not_found`.
Answer: {"message_id": "uuid", "status": "completed|pending|failed"}$md$;
GRANT EXECUTE ON FUNCTION api.process_mqtt_queue_message(uuid, uuid) TO service_role;
COMMIT;
