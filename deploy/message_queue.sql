-- Deploy topicbase:message_queue to pg
-- requires: process_batch
-- requires: access
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION mqtt.queued_messages() RETURNS TABLE (
    id uuid, organization_id uuid, integration_id uuid, topic text, payload jsonb, body bytea, qos smallint, status text, attempts smallint,
    created_at timestamptz, next_retry_at timestamptz, error_message text
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        coalesce(q.message_id, mqtt.message_id(q.enqueued_at, q.msg_id)), q.organization_id, q.integration_id, q.message ->> 'topic',
        coalesce(q.message -> 'payload', 'null'), q.body, coalesce((q.message ->> 'qos')::smallint, 0::smallint),
        CASE WHEN q.read_ct > 0 AND q.attempts = 0 AND q.vt > now() THEN 'processing' ELSE 'pending' END,
        q.attempts, q.enqueued_at, CASE WHEN q.attempts > 0 THEN q.vt END, q.errors -> -1 ->> 'error'
    FROM pgmq.q_mqtt_messages AS q
    WHERE mqtt.is_operator() OR q.organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []);
$$;
COMMENT ON FUNCTION mqtt.queued_messages() IS
'Messages of the caller''s organizations that wait in the queue: pending, or processing while another pgmq reader holds them.';
GRANT EXECUTE ON FUNCTION mqtt.queued_messages() TO authenticated, service_role;

CREATE VIEW mqtt.mqtt_message_queue WITH (security_invoker = true) AS
SELECT
    q.id, q.organization_id, q.integration_id, q.topic, q.payload, q.qos, q.status, q.attempts,
    coalesce((i.settings ->> 'max_attempts')::smallint, c.max_attempts) AS max_attempts,
    q.created_at, NULL::timestamptz AS processed_at, NULL::timestamptz AS failed_at, q.next_retry_at, q.error_message
FROM mqtt.queued_messages() AS q
CROSS JOIN mqtt.configuration AS c
LEFT JOIN mqtt.device_integrations AS i ON i.id = q.integration_id
UNION ALL
SELECT
    m.id, m.organization_id, m.integration_id, m.topic, m.payload, m.qos, 'completed', 0::smallint, c.max_attempts,
    m.received_at, m.created_at, NULL, NULL, NULL
FROM mqtt.mqtt_messages AS m
CROSS JOIN mqtt.configuration AS c
WHERE m.direction = 'incoming'
UNION ALL
SELECT
    d.id, d.organization_id, d.integration_id, d.topic, coalesce(d.message -> 'payload', 'null'), (coalesce(d.message ->> 'qos', '0'))::smallint,
    'failed', d.attempts, d.attempts, d.received_at, NULL, d.failed_at, NULL, d.error_message
FROM mqtt.mqtt_dead_letters AS d
WHERE d.direction = 'incoming';
COMMENT ON VIEW mqtt.mqtt_message_queue IS
'Every incoming message with its status: pending, processing (held by a reader), completed (in the history) or failed (a dead letter).';
GRANT SELECT ON mqtt.mqtt_message_queue TO authenticated, service_role;

CREATE VIEW api.mqtt_message_queue WITH (security_invoker = true) AS SELECT * FROM mqtt.mqtt_message_queue;
COMMENT ON VIEW api.mqtt_message_queue IS
$md$Incoming messages by status

`pending` and `processing` messages wait in the queue, `completed` ones are in `mqtt_messages`, `failed` ones in `mqtt_dead_letters`.$md$;
COMMENT ON COLUMN api.mqtt_message_queue.id IS 'Message id that the sender was told';
COMMENT ON COLUMN api.mqtt_message_queue.organization_id IS 'Organization that it belongs to';
COMMENT ON COLUMN api.mqtt_message_queue.integration_id IS 'Integration that it belongs to';
COMMENT ON COLUMN api.mqtt_message_queue.topic IS 'Topic name';
COMMENT ON COLUMN api.mqtt_message_queue.payload IS 'The payload as JSON; JSON null while it waits as bytes';
COMMENT ON COLUMN api.mqtt_message_queue.qos IS 'QoS: 0, 1 or 2';
COMMENT ON COLUMN api.mqtt_message_queue.status IS 'pending, processing, completed or failed';
COMMENT ON COLUMN api.mqtt_message_queue.attempts IS 'Attempts that failed so far';
COMMENT ON COLUMN api.mqtt_message_queue.max_attempts IS 'Attempts after which it becomes a dead letter';
COMMENT ON COLUMN api.mqtt_message_queue.created_at IS 'When it was accepted';
COMMENT ON COLUMN api.mqtt_message_queue.processed_at IS 'When it was stored';
COMMENT ON COLUMN api.mqtt_message_queue.failed_at IS 'When it was given up';
COMMENT ON COLUMN api.mqtt_message_queue.next_retry_at IS 'When the next attempt is due';
COMMENT ON COLUMN api.mqtt_message_queue.error_message IS 'Error of the last attempt';
GRANT SELECT ON api.mqtt_message_queue TO authenticated, service_role;

CREATE FUNCTION mqtt.refuse_write() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'read_only' USING
        ERRCODE = 'PT405', DETAIL = format('%I.%I cannot be written to.', tg_table_schema, tg_table_name), HINT = 'Messages come in by mqtt_ingest.';
END;
$$;
COMMENT ON FUNCTION mqtt.refuse_write() IS 'Trigger: refuses the write.';
-- A view that cannot be written to is an error of the server to PostgREST (500); with a trigger it is one of privileges (403).
CREATE TRIGGER read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON api.mqtt_message_queue FOR EACH ROW EXECUTE FUNCTION mqtt.refuse_write();
COMMIT;
