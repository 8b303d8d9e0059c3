-- Deploy topicbase:api/mqtt_message_queue to pg
-- requires: process/queue_view
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE VIEW api.mqtt_message_queue WITH (security_invoker = true) AS SELECT * FROM mqtt.mqtt_message_queue;
COMMENT ON VIEW api.mqtt_message_queue IS
$md$Incoming messages by status

`pending` and `processing` messages wait for their effects, `completed` ones are in `mqtt_messages`, `failed` ones in `mqtt_dead_letters`.
`mqtt_messages` has failed and pending ones, too, where they were stored when they were accepted.$md$;
COMMENT ON COLUMN api.mqtt_message_queue.id IS 'Message id, as answered to the sender';
COMMENT ON COLUMN api.mqtt_message_queue.organization_id IS 'Organization of the message';
COMMENT ON COLUMN api.mqtt_message_queue.integration_id IS 'Integration of the message';
COMMENT ON COLUMN api.mqtt_message_queue.topic IS 'Topic name';
COMMENT ON COLUMN api.mqtt_message_queue.payload IS 'Payload as JSON; JSON null while it waits as bytes';
COMMENT ON COLUMN api.mqtt_message_queue.qos IS 'QoS: 0, 1 or 2';
COMMENT ON COLUMN api.mqtt_message_queue.status IS 'pending, processing, completed or failed';
COMMENT ON COLUMN api.mqtt_message_queue.attempts IS 'Failed attempts so far';
COMMENT ON COLUMN api.mqtt_message_queue.max_attempts IS 'Number of attempts after which it becomes a dead letter';
COMMENT ON COLUMN api.mqtt_message_queue.created_at IS 'When it was accepted';
COMMENT ON COLUMN api.mqtt_message_queue.processed_at IS 'When it was stored';
COMMENT ON COLUMN api.mqtt_message_queue.failed_at IS 'When it was given up';
COMMENT ON COLUMN api.mqtt_message_queue.next_retry_at IS 'When the next attempt is due';
COMMENT ON COLUMN api.mqtt_message_queue.error_message IS 'Error of the last attempt';
GRANT SELECT ON api.mqtt_message_queue TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.refuse_write() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'read_only' USING
        ERRCODE = 'PT405', DETAIL = format('%I.%I cannot be written to.', tg_table_schema, tg_table_name), HINT = 'Send messages with mqtt_ingest.';
END;
$$;
COMMENT ON FUNCTION mqtt.refuse_write() IS 'Trigger: refuses any write.';
-- A view that cannot be written to makes PostgREST answer 500, a server error; with a trigger it answers 403, a matter of privileges.
CREATE OR REPLACE TRIGGER read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON api.mqtt_message_queue FOR EACH ROW EXECUTE FUNCTION mqtt.refuse_write();
COMMIT;
