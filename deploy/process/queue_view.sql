-- Deploy topicbase:process/queue_view to pg
-- requires: integrations/access
-- requires: process/split_items
-- requires: tables/mqtt_dead_letters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.queued_messages() RETURNS TABLE (
    id uuid, organization_id uuid, integration_id uuid, topic text, payload jsonb, body bytea, qos smallint, status text, attempts smallint,
    created_at timestamptz, next_retry_at timestamptz, error_message text
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        coalesce(q.message_id, mqtt.keyed_message_id(q.enqueued_at, q.msg_id, k.key, q.place)), q.organization_id, q.integration_id, q.message ->> 'topic',
        coalesce(q.message -> 'payload', 'null'), q.body, coalesce((q.message ->> 'qos')::smallint, 0::smallint),
        CASE WHEN q.read_ct > 0 AND q.attempts = 0 AND q.vt > now() THEN 'processing' ELSE 'pending' END,
        q.attempts, q.enqueued_at, CASE WHEN q.attempts > 0 THEN q.vt END, q.errors -> -1 ->> 'error'
    FROM pgmq.q_mqtt_messages AS q
    CROSS JOIN mqtt.message_id_key AS k
    WHERE q.organization IS NULL AND (mqtt.is_operator() OR (
        q.organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid [])
        AND (q.integration_id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE
    ))
    UNION ALL
    SELECT
        h.id, q.organization_id, q.integration_id, t.topic, h.payload, h.body, (h.flags & 3)::smallint,
        CASE WHEN q.read_ct > 0 AND q.attempts = 0 AND q.vt > now() THEN 'processing' ELSE 'pending' END,
        q.attempts, q.enqueued_at, CASE WHEN q.attempts > 0 THEN q.vt END, q.errors -> -1 ->> 'error'
    FROM pgmq.q_mqtt_messages AS q
    JOIN mqtt.history AS h ON h.received_at = q.enqueued_at AND h.organization = q.organization
        AND h.position >= q.msg_id AND h.position < q.msg_id + q.message_count
    JOIN mqtt.topics AS t ON t.number = h.topic
    WHERE mqtt.is_operator() OR (
        q.organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid [])
        AND (q.integration_id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE
    );
$$;
COMMENT ON FUNCTION mqtt.queued_messages() IS
'Messages of the caller''s organizations that wait in the queue: pending, or processing while another pgmq reader holds them.';
GRANT EXECUTE ON FUNCTION mqtt.queued_messages() TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.failure_of(organization_id uuid, message_id uuid, received_at timestamptz) RETURNS mqtt.mqtt_dead_letters
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT d
        FROM mqtt.mqtt_dead_letters AS d
        WHERE d.organization_id = failure_of.organization_id AND d.id = failure_of.message_id AND d.failed_at >= failure_of.received_at
        ORDER BY d.failed_at DESC
        LIMIT 1
    );
END;
$$;
COMMENT ON FUNCTION mqtt.failure_of(uuid, uuid, timestamptz) IS 'The latest dead letter of a message; null once that has been deleted.';
GRANT EXECUTE ON FUNCTION mqtt.failure_of(uuid, uuid, timestamptz) TO authenticated, service_role;

CREATE OR REPLACE VIEW mqtt.mqtt_message_queue WITH (security_invoker = true) AS
SELECT
    q.id, q.organization_id, q.integration_id, q.topic, q.payload, q.qos, q.status, q.attempts,
    coalesce((i.settings ->> 'max_attempts')::smallint, c.max_attempts) AS max_attempts,
    q.created_at, NULL::timestamptz AS processed_at, NULL::timestamptz AS failed_at, q.next_retry_at, q.error_message
FROM mqtt.queued_messages() AS q
CROSS JOIN mqtt.configuration AS c
LEFT JOIN mqtt.device_integrations AS i ON i.id = q.integration_id
UNION ALL
SELECT
    m.id, m.organization_id, m.integration_id, m.topic, m.payload, m.qos, CASE WHEN m.is_failed THEN 'failed' ELSE 'completed' END,
    CASE WHEN m.is_failed THEN (mqtt.failure_of(m.organization_id, m.id, m.received_at)).attempts ELSE 0::smallint END, c.max_attempts,
    m.received_at, m.created_at, CASE WHEN m.is_failed THEN (mqtt.failure_of(m.organization_id, m.id, m.received_at)).failed_at END, NULL,
    CASE WHEN m.is_failed THEN (mqtt.failure_of(m.organization_id, m.id, m.received_at)).error_message END
FROM mqtt.mqtt_messages AS m
CROSS JOIN mqtt.configuration AS c
WHERE m.direction = 'incoming' AND NOT mqtt.is_pending(m.position)
UNION ALL
SELECT
    d.id, d.organization_id, d.integration_id, d.topic, coalesce(d.message -> 'payload', 'null'), (coalesce(d.message ->> 'qos', '0'))::smallint,
    'failed', d.attempts, d.attempts, d.received_at, NULL, d.failed_at, NULL, d.error_message
FROM mqtt.mqtt_dead_letters AS d
WHERE d.direction = 'incoming' AND NOT d.is_stored;
COMMENT ON VIEW mqtt.mqtt_message_queue IS
'Every incoming message with its status: pending, processing (held by a reader), completed (its effects are made) or failed (they were given up: a dead letter).';
GRANT SELECT ON mqtt.mqtt_message_queue TO authenticated, service_role;
COMMIT;
