-- Deploy topicbase:process/enqueue_callbacks to pg
-- requires: base/message_ids
-- requires: base/wake_bridge
-- requires: tables/filters_by_prefix
-- requires: tables/history
-- requires: tables/mqtt_callbacks
-- requires: tables/queues
-- requires: topics/patterns
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.queued_topics(tids tid []) RETURNS TABLE (
    organization_id uuid, integration_id uuid, topic text, enqueued_at timestamptz, msg_id bigint, id uuid
)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.enqueue_callbacks, which calls it.
AS $$
DECLARE
    v_since timestamptz;
    v_until timestamptz;
BEGIN
    RETURN QUERY
    SELECT
        q.organization_id, q.integration_id, q.message ->> 'topic', q.enqueued_at, q.msg_id,
        coalesce(q.message_id, mqtt.keyed_message_id(q.enqueued_at, q.msg_id, k.key, q.place))
    FROM pgmq.q_mqtt_messages AS q
    CROSS JOIN mqtt.message_id_key AS k
    WHERE q.ctid = ANY (tids) AND q.organization IS NULL;
    -- Which partitions work items are about is known before the statement that reads them.
    SELECT min(q.enqueued_at), max(q.enqueued_at) INTO v_since, v_until FROM pgmq.q_mqtt_messages AS q WHERE q.ctid = ANY (tids) AND num_nulls(q.organization) = 0;
    IF v_since IS NOT NULL THEN
        RETURN QUERY
        SELECT q.organization_id, q.integration_id, t.topic, h.received_at, h.position, h.id
        FROM (SELECT x.* FROM pgmq.q_mqtt_messages AS x WHERE x.ctid = ANY (tids) AND num_nulls(x.organization) = 0 OFFSET 0) AS q
        -- Item by item; and a range, which can be neither hashed nor merged: else all topics may be read, and for each the whole day.
        CROSS JOIN LATERAL (
            SELECT x.*
            FROM mqtt.history AS x
            WHERE x.received_at = q.enqueued_at AND x.organization = q.organization
                AND x.position >= q.msg_id AND x.position < q.msg_id + q.message_count AND x.received_at BETWEEN v_since AND v_until
            OFFSET 0
        ) AS h
        JOIN mqtt.topics AS t ON t.number BETWEEN h.topic AND h.topic;
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.queued_topics(tid []) IS
'The messages that rows of the queue stand for, by row address, with their topics. A part of mqtt.enqueue_callbacks.';

CREATE OR REPLACE FUNCTION mqtt.enqueue_callbacks(tids tid []) RETURNS void
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
    -- By address alone, whatever comes of them: else the index of all that wait may be read.
    WITH due AS MATERIALIZED (
        SELECT q.ctid AS tid, q.organization_id, q.integration_id FROM pgmq.q_mqtt_messages AS q WHERE q.ctid = ANY (tids)
    ),
    hooked AS MATERIALIZED (
        SELECT i.organization_id, i.integration_id
        FROM (SELECT DISTINCT d.organization_id, d.integration_id FROM due AS d) AS i
        WHERE EXISTS (
            SELECT FROM mqtt.mqtt_subscriptions AS s
            WHERE s.organization_id = i.organization_id AND s.integration_id = i.integration_id
                AND s.callback_url IS NOT NULL AND s.callback_gone_at IS NULL AND NOT s.is_paused
        )
    ),
    arrived AS MATERIALIZED (
        SELECT m.*
        FROM mqtt.queued_topics(ARRAY(
            SELECT d.tid FROM hooked AS i JOIN due AS d ON d.integration_id = i.integration_id AND d.organization_id = i.organization_id
        )) AS m
    ),
    -- Messages of the same topic are matched once, and filters looked up once for all topics that they may match.
    prefixed AS MATERIALIZED (
        SELECT k.organization_id, k.integration_id, p.prefix, array_agg(k.topic) AS topics
        FROM (SELECT DISTINCT a.organization_id, a.integration_id, a.topic FROM arrived AS a) AS k
        CROSS JOIN LATERAL mqtt.topic_prefixes(k.topic) AS p (prefix)
        GROUP BY k.organization_id, k.integration_id, p.prefix
    ),
    hook AS MATERIALIZED (
        SELECT c.organization_id, c.integration_id, t.topic, c.id
        FROM (
            SELECT p.organization_id, p.integration_id, p.topics, s.id, s.topic AS filter, l.topic_like, l.topic_levels
            FROM prefixed AS p
            CROSS JOIN LATERAL mqtt.filters_by_prefix(p.organization_id, p.integration_id, p.prefix, true) AS s
            -- Not regular expressions: to compile those of thousands of filters that one message matches takes most of a second.
            CROSS JOIN LATERAL mqtt.topic_filter_levels(s.topic) AS l
            OFFSET 0
        ) AS c
        CROSS JOIN LATERAL unnest(c.topics) AS t (topic)
        WHERE c.filter = t.topic OR mqtt.matched_levels(t.topic, c.topic_like, c.topic_levels) IS NOT NULL
    )
    INSERT INTO mqtt.mqtt_callback_deliveries (organization_id, subscription_id, message_id, received_at)
    SELECT h.organization_id, h.id, a.id, a.enqueued_at
    FROM hook AS h
    JOIN arrived AS a ON a.topic = h.topic AND a.integration_id = h.integration_id AND a.organization_id = h.organization_id
    ORDER BY a.msg_id;
    IF found THEN
        PERFORM mqtt.wake_bridge('callback');
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.enqueue_callbacks(tid []) IS
'Notes, for queued messages by row address, the subscriptions with a callback_url that they match; to be called in the transaction that stores them, before it. While nobody has a callback, that is one look into an empty index.';
COMMIT;
