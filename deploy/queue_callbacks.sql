-- Deploy topicbase:queue_callbacks to pg
-- requires: mqtt_callbacks
-- requires: message_ids
-- requires: wakeup
-- requires: topics
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION mqtt.queue_callbacks(tids tid []) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- As in mqtt.store_messages: rows by address and key, however the tables stood when the plan was made.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM mqtt.mqtt_subscriptions AS s WHERE s.callback_url IS NOT NULL AND s.callback_gone_at IS NULL AND NOT s.is_paused) THEN
        RETURN;
    END IF;
    WITH hook AS MATERIALIZED (
        SELECT s.organization_id, s.integration_id, s.id, mqtt.topic_filter_pattern(s.topic) AS pattern
        FROM mqtt.mqtt_subscriptions AS s
        WHERE s.callback_url IS NOT NULL AND s.callback_gone_at IS NULL AND NOT s.is_paused
            AND s.integration_id IN (SELECT q.integration_id FROM pgmq.q_mqtt_messages AS q WHERE q.ctid = ANY (tids))
    )
    INSERT INTO mqtt.mqtt_callback_deliveries (organization_id, subscription_id, message_id, received_at)
    SELECT h.organization_id, h.id, coalesce(q.message_id, mqtt.message_id(q.enqueued_at, q.msg_id)), q.enqueued_at
    FROM hook AS h
    JOIN pgmq.q_mqtt_messages AS q ON q.integration_id = h.integration_id AND q.organization_id = h.organization_id
    WHERE q.ctid = ANY (tids) AND q.message ->> 'topic' ~ h.pattern
    ORDER BY q.msg_id;
    IF found THEN
        PERFORM mqtt.wake_bridge('callback');
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.queue_callbacks(tid []) IS
'Notes, for queued messages by row address, the subscriptions with a callback_url that they match; to be called in the transaction that stores them, before it. While nobody has a callback, that is one look into an empty index.';
COMMIT;
