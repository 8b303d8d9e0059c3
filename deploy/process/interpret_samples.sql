-- Deploy topicbase:process/interpret_samples to pg
-- requires: process/device_data
-- requires: process/interpret_messages
-- requires: process/prepare_sparkplug
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.interpret_samples(samples mqtt.arrived_sample [], integrations uuid [], raw mqtt.raw_payload []) RETURNS mqtt.arrived_sample []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
DECLARE
    v_messages mqtt.rule_message [];
BEGIN
    -- What is empty tells nothing, whatever its topic.
    SELECT array_agg(ROW(s.msg_id, s.integration_id, s.credential_id, s.topic, s.payload, r.body, s.enqueued_at, NULL, NULL, NULL)::mqtt.rule_message) INTO v_messages
    FROM unnest(samples) AS s
    LEFT JOIN unnest(raw) AS r ON r.msg_id = s.msg_id
    WHERE s.integration_id = ANY (integrations) AND s.role <> 'ignore';
    IF v_messages IS NULL THEN
        RETURN samples;
    END IF;
    RETURN (
        WITH found AS MATERIALIZED (
            SELECT i.* FROM unnest(mqtt.interpretations(mqtt.prepare_sparkplug(v_messages))) AS i
        )
        SELECT array_agg(ROW(
            s.msg_id, s.enqueued_at, s.place, s.organization_id, s.integration_id, s.credential_id, s.message_id, s.topic, s.qos, s.retain,
            s.content_type, s.properties, s.payload, s.body,
            -- What a rule has read, or ignores, is no fault, whatever the content type says.
            CASE WHEN coalesce(i.data, i.facts) IS NULL AND coalesce(i.role, '') NOT IN ('ignore', 'command') THEN coalesce(i.reason, s.decode_error) ELSE i.reason END,
            s.message_type, coalesce(i.role, s.topic_role), i.sample,
            i.data, i.facts, n.external_id, n.role, coalesce(i.sent_at, s.sent_at),
            CASE
                WHEN i.sent_at IS NULL THEN s.measured_at
                ELSE mqtt.plausible_time(i.sent_at, s.enqueued_at, c.max_time_behind, c.max_time_ahead)
            END,
            s.is_retained,
            mqtt.is_news(s.organization_id, s.integration_id, n.external_id, n.role, s.is_retained) AND (i.sample IS NULL OR i.data IS NOT NULL),
            i.sent_at IS NOT NULL, s.organization, s.number
        )::mqtt.arrived_sample)
        FROM unnest(samples) AS s
        LEFT JOIN found AS i ON i.place = s.msg_id
        CROSS JOIN mqtt.configuration AS c
        CROSS JOIN LATERAL (
            SELECT CASE WHEN i.sample IS NULL THEN s.external_id ELSE i.external_id END AS external_id, coalesce(i.role, s.role) AS role
        ) AS n
    );
END;
$$;
COMMENT ON FUNCTION mqtt.interpret_samples(mqtt.arrived_sample [], uuid [], mqtt.raw_payload []) IS
'Messages taken from the queue, where payload rules (of these integrations; raw: the bytes of their messages) match one in a row for each sample in it (sample: its number; data: its metrics, if any). A part of mqtt.store_messages.';
COMMIT;
