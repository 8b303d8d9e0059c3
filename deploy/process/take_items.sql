-- Deploy topicbase:process/take_items to pg
-- requires: process/device_data
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.take_items(tids tid [], since timestamptz, until timestamptz) RETURNS mqtt.arrived_sample []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it. A hash join would read all that was stored between the first and the last.
SET enable_hashjoin = off
AS $$
DECLARE
    v_samples mqtt.arrived_sample [];
BEGIN
    WITH item AS MATERIALIZED (
        DELETE FROM pgmq.q_mqtt_messages AS q
        -- Not IS NOT NULL, for which the index of all items that wait may be read.
        WHERE q.ctid = ANY (tids) AND num_nulls(q.organization) = 0
        RETURNING q.msg_id, q.enqueued_at, q.organization_id, q.integration_id, q.credential_id, q.message_count, q.organization
    ),
    message AS MATERIALIZED (
        SELECT
            i.organization_id, i.integration_id, i.credential_id, h.*, t.topic AS name, t.message_type, t.role AS topic_role, t.external_id,
            CASE WHEN h.flags & 32 = 32 THEN h.measured_at ELSE h.sent_at END AS device_time, h.flags & 4 = 4 AND i.credential_id IS NULL AS is_retained,
            CASE WHEN h.body = '' OR (h.payload = 'null' AND h.body IS NULL) THEN 'ignore' ELSE t.role END AS role
        FROM item AS i
        CROSS JOIN LATERAL (
            SELECT x.*
            FROM mqtt.history AS x
            WHERE x.received_at = i.enqueued_at AND x.organization = i.organization
                AND x.position >= i.msg_id AND x.position < i.msg_id + i.message_count
                -- Which partitions that can be is known before.
                AND x.received_at BETWEEN take_items.since AND take_items.until
            OFFSET 0
        ) AS h
        -- As a range, which can be neither hashed nor merged.
        JOIN mqtt.topics AS t ON t.number BETWEEN h.topic AND h.topic
    )
    SELECT array_agg(ROW(
        m.position, m.received_at, 0, m.organization_id, m.integration_id, m.credential_id, CASE WHEN m.flags & 16 = 16 THEN m.id END,
        m.name, m.flags & 3, m.flags & 4 = 4, m.content_type, m.properties, m.payload, m.body, m.decode_error, m.message_type, m.topic_role,
        NULL, NULL, NULL, m.external_id, m.role, m.device_time, m.measured_at, m.is_retained,
        mqtt.is_news(m.organization_id, m.integration_id, m.external_id, m.role, m.is_retained), false, m.organization, m.topic
    )::mqtt.arrived_sample) INTO v_samples
    FROM message AS m;
    RETURN v_samples;
END;
$$;
COMMENT ON FUNCTION mqtt.take_items(tid [], timestamptz, timestamptz) IS
'Takes work items out of the queue, by row address, and reads their messages in the history; since, until: when the first and the last of them were accepted. Null when there are none. A part of mqtt.store_messages.';
COMMIT;
