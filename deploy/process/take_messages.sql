-- Deploy topicbase:process/take_messages to pg
-- requires: process/decoded_message
-- requires: process/interpret_samples
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.take_messages(tids tid []) RETURNS mqtt.arrived_sample []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
DECLARE
    v_samples mqtt.arrived_sample [];
    v_ruled uuid [];
    v_raw mqtt.raw_payload [];
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
    SELECT
        array_agg(ROW(
            t.msg_id, t.enqueued_at, t.place, t.organization_id, t.integration_id, t.credential_id, t.message_id, m.topic, m.qos, m.retain, m.content_type,
            m.properties, m.payload, m.body, m.decode_error, m.message_type, m.topic_role, NULL, NULL, NULL, m.external_id, m.role, m.sent_at,
            m.measured_at, r.is_retained, mqtt.is_news(t.organization_id, t.integration_id, m.external_id, m.role, r.is_retained), false, NULL, NULL
        )::mqtt.arrived_sample),
        (SELECT array_agg(x.id) FROM integration AS x WHERE x.has_rules),
        -- What was taken for text or JSON is to a rule the bytes that came.
        array_agg(ROW(t.msg_id, t.body)::mqtt.raw_payload) FILTER (WHERE i.has_rules AND t.body IS NOT NULL)
    INTO v_samples, v_ruled, v_raw
    FROM taken AS t
    CROSS JOIN mqtt.configuration AS c
    LEFT JOIN integration AS i ON i.id = t.integration_id
    CROSS JOIN LATERAL mqtt.decoded_message(
        t.message, t.body, t.enqueued_at, i.content_type, i.topic_like, i.topic_levels, i.device_level, i.message_type_level, c.max_time_behind,
        c.max_time_ahead
    ) AS m
    CROSS JOIN LATERAL (SELECT m.retain AND t.credential_id IS NULL AS is_retained) AS r;
    IF v_ruled IS NOT NULL THEN
        RETURN mqtt.interpret_samples(v_samples, v_ruled, v_raw);
    END IF;
    RETURN v_samples;
END;
$$;
COMMENT ON FUNCTION mqtt.take_messages(tid []) IS
'Takes messages that are not stored yet out of the queue, by row address, decodes them and applies payload rules. Null when there are none. A part of mqtt.store_messages.';
COMMIT;
