-- Deploy topicbase:process/take_messages to pg
-- requires: process/batch_types
-- requires: process/decoded_samples
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.take_messages(tids tid [], prepared jsonb) RETURNS mqtt.arrived_sample []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
DECLARE
    v_samples mqtt.arrived_sample [];
BEGIN
    WITH taken AS MATERIALIZED (
        DELETE FROM pgmq.q_mqtt_messages AS q
        WHERE q.ctid = ANY (tids) AND q.organization IS NULL
        RETURNING q.msg_id, q.enqueued_at, q.place, q.organization_id, q.integration_id, q.credential_id, q.message_id, q.message, q.body
    ),
    -- Looked up once for each, not for each message.
    integration AS MATERIALIZED (
        SELECT i.id, i.topic_like, i.topic_levels, i.device_level, i.message_type_level, i.settings ->> 'content_type' AS content_type,
            EXISTS (SELECT FROM mqtt.payload_rules AS p WHERE p.integration_id = i.id) AS has_rules
        FROM mqtt.device_integrations AS i
        WHERE i.id IN (SELECT t.integration_id FROM taken AS t)
    )
    SELECT array_agg(
        ROW(t.msg_id, t.enqueued_at, t.place, t.organization_id, t.integration_id, t.credential_id, t.message_id, m.*, NULL, NULL)::mqtt.arrived_sample
    ) INTO v_samples
    FROM taken AS t
    CROSS JOIN mqtt.configuration AS c
    LEFT JOIN integration AS i ON i.id = t.integration_id
    CROSS JOIN LATERAL mqtt.decoded_samples(
        t.organization_id, t.integration_id, t.credential_id, t.message, t.body, prepared -> t.msg_id::text, t.enqueued_at, i.content_type,
        i.topic_like, i.topic_levels, i.device_level, i.message_type_level, i.has_rules, c.max_time_behind, c.max_time_ahead
    ) AS m;
    RETURN v_samples;
END;
$$;
COMMENT ON FUNCTION mqtt.take_messages(tid [], jsonb) IS
'Takes messages that are not stored yet out of the queue, by row address, and decodes them; prepared: the result of mqtt.prepare_sparkplug. Null when there are none. A part of mqtt.store_messages.';
COMMIT;
