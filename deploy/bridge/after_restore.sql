-- Deploy topicbase:bridge/after_restore to pg
-- requires: bridge/hello
-- requires: publish/settle_outbound
-- requires: tables/outbound_batches
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.set_aside_outbound(batch_size integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_msg_ids bigint [];
    v_count bigint := 0;
BEGIN
    IF mqtt.live_bridges(NULL) > 0 THEN
        RAISE EXCEPTION 'bridges_connected' USING
            ERRCODE = 'PT409',
            DETAIL = 'A bridge is connected to this database and may be sending these messages now.',
            HINT = 'Stop all bridges, call this, then start them.';
    END IF;
    DELETE FROM mqtt.outbound_batches WHERE true;
    LOOP
        v_msg_ids := ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_mqtt_outbound AS q
            WHERE q.vt <= v_now OR q.attempts > 0
            ORDER BY q.msg_id
            LIMIT batch_size
        );
        EXIT WHEN v_msg_ids = '{}';
        PERFORM mqtt.settle_outbound(
            v_msg_ids, array_fill('failed'::text, ARRAY[cardinality(v_msg_ids)]), '{}',
            array_fill('Set aside after a restore: it may have been sent before.'::text, ARRAY[cardinality(v_msg_ids)])
        );
        v_count := v_count + cardinality(v_msg_ids);
    END LOOP;
    RETURN v_count;
END;
$$;
COMMENT ON FUNCTION mqtt.set_aside_outbound(integer) IS
'For a database restored from a backup, before the first bridge runs on it: makes dead letters of the messages that were due in the outbound queue, since those published after the backup would be sent a second time, and returns how many; api.replay_mqtt_dead_letters sends those that are wanted. What is scheduled for later (deliver_at) stays queued. Raises bridges_connected. For the owner of the schema.';
COMMIT;
