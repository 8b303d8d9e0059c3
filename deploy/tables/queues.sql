-- Deploy topicbase:tables/queues to pg
-- requires: base/pgmq
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
-- pgmq's readers see message as ever; the typed columns beside it spare every reader the parsing.
DO $$
DECLARE
    v_queue text;
    v_member text;
BEGIN
    FOREACH v_queue IN ARRAY ARRAY['mqtt_messages', 'mqtt_outbound'] LOOP
        PERFORM pgmq.create(v_queue);
        -- As an extension, pgmq 1.5 takes its queues for parts of itself, which no pg_dump has.
        FOR v_member IN
            SELECT format('%s %s', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass)
            FROM pg_depend AS d
            INNER JOIN pg_class AS c ON d.objid = c.oid
            WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
                AND c.oid::regclass::text IN ('pgmq.q_' || v_queue, 'pgmq.a_' || v_queue, format('pgmq.q_%s_msg_id_seq', v_queue))
        LOOP
            EXECUTE 'ALTER EXTENSION pgmq DROP ' || v_member;
        END LOOP;
        EXECUTE format('ALTER TABLE pgmq.%I OWNER TO mqtt_owner', 'q_' || v_queue);
        EXECUTE format('ALTER TABLE pgmq.%I OWNER TO mqtt_owner', 'a_' || v_queue);
        EXECUTE format('ALTER TABLE pgmq.%I ENABLE ROW LEVEL SECURITY', 'q_' || v_queue);
        EXECUTE format('ALTER TABLE pgmq.%I ENABLE ROW LEVEL SECURITY', 'a_' || v_queue);
        EXECUTE format('DROP INDEX pgmq.%I', 'q_' || v_queue || '_vt_idx');
        -- A queue's dead rows come by the thousand a second; waiting for a fifth of the table would bloat it.
        EXECUTE format(
            'ALTER TABLE pgmq.%I SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, '
            'autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000, '
            'autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 100000)', 'q_' || v_queue
        );
    END LOOP;
END;
$$;
ALTER TABLE pgmq.q_mqtt_messages
ADD COLUMN organization_id uuid NOT NULL,
ADD COLUMN integration_id uuid NOT NULL,
ADD COLUMN credential_id uuid,
ADD COLUMN message_id uuid,
ADD COLUMN place integer NOT NULL DEFAULT 0,
ADD COLUMN attempts smallint NOT NULL DEFAULT 0,
ADD COLUMN body bytea,
ADD COLUMN errors jsonb,
ADD COLUMN message_count integer NOT NULL DEFAULT 1,
ADD COLUMN organization integer,
ADD COLUMN bodies bytea [];
-- A row may stand for many messages, which have the numbers from its own on: no other row may have one of these.
ALTER TABLE pgmq.q_mqtt_messages ALTER COLUMN msg_id SET INCREMENT BY 1048576;
CREATE INDEX q_mqtt_messages_organization_idx ON pgmq.q_mqtt_messages (organization_id, vt);
-- Retention looks for what it has to leave.
CREATE INDEX q_mqtt_messages_item_idx ON pgmq.q_mqtt_messages (enqueued_at) WHERE organization IS NOT NULL;
CREATE INDEX q_mqtt_messages_message_id_idx ON pgmq.q_mqtt_messages (message_id) WHERE message_id IS NOT NULL;
COMMENT ON TABLE pgmq.q_mqtt_messages IS 'Accepted messages whose effects are to come. Either one that is not stored yet, message being {"topic", "payload", "qos", "retain", …} without defaults; or a work item: messages of one call that the history has already.';
COMMENT ON COLUMN pgmq.q_mqtt_messages.message_count IS 'How many messages it stands for: those of a work item have the positions from msg_id on.';
COMMENT ON COLUMN pgmq.q_mqtt_messages.organization IS 'Of a work item the number of the organization, under which, with enqueued_at as received_at, the history has its messages; else null.';
COMMENT ON COLUMN pgmq.q_mqtt_messages.bodies IS 'Of a work item whose payloads came as bytes: these, in order, for the dead letter that a message may become. Together, as they are compressed well.';
COMMENT ON COLUMN pgmq.q_mqtt_messages.message_id IS 'Message id that the client gave; null takes mqtt.keyed_message_id(enqueued_at, msg_id, the key, place).';
COMMENT ON COLUMN pgmq.q_mqtt_messages.place IS 'Place among the messages of its call and integration, by which their ids are in order.';
COMMENT ON COLUMN pgmq.q_mqtt_messages.attempts IS 'Attempts that failed so far.';
COMMENT ON COLUMN pgmq.q_mqtt_messages.body IS 'Payload byte for byte, to be decoded by content type; null when message holds it as JSON.';
COMMENT ON COLUMN pgmq.q_mqtt_messages.errors IS 'Failed attempts: [{"at", "code", "error"}, …].';

ALTER TABLE pgmq.q_mqtt_outbound
ADD COLUMN organization_id uuid NOT NULL,
ADD COLUMN integration_id uuid NOT NULL,
ADD COLUMN receipt_id uuid,
ADD COLUMN expires_at timestamptz,
ADD COLUMN attempts smallint NOT NULL DEFAULT 0,
ADD COLUMN body bytea;
CREATE INDEX q_mqtt_outbound_integration_idx ON pgmq.q_mqtt_outbound (integration_id, vt, msg_id);
-- A receipt id holds this time.
CREATE INDEX q_mqtt_outbound_enqueued_at_idx ON pgmq.q_mqtt_outbound (enqueued_at);
CREATE INDEX q_mqtt_outbound_expires_idx ON pgmq.q_mqtt_outbound (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX q_mqtt_outbound_suspects_idx ON pgmq.q_mqtt_outbound (integration_id) WHERE attempts > 1;
COMMENT ON TABLE pgmq.q_mqtt_outbound IS 'Messages to publish whose outcome is not settled. message: {"topic", "qos", "retain", "payload", properties…}; vt is when to publish.';
COMMENT ON COLUMN pgmq.q_mqtt_outbound.receipt_id IS 'Receipt id of a message that came with its organization from another installation; null takes mqtt.keyed_message_id(enqueued_at, -msg_id, the key).';
COMMENT ON COLUMN pgmq.q_mqtt_outbound.expires_at IS 'When it is worthless: message_expiry seconds after it was queued; null never.';
COMMENT ON COLUMN pgmq.q_mqtt_outbound.attempts IS 'How often it was handed to a broker without a final answer.';
COMMENT ON COLUMN pgmq.q_mqtt_outbound.body IS 'Payload byte for byte; null when message holds it as JSON.';
COMMIT;
