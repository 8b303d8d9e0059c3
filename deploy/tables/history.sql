-- Deploy topicbase:tables/history to pg
-- requires: base/partitions
-- requires: tables/topics
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.message_direction AS ENUM ('incoming', 'outgoing');
GRANT USAGE ON TYPE mqtt.message_direction TO authenticated, service_role;
-- Columns stand in the order that wastes no alignment bytes; the last ones are rare, and cost nothing where they are null.
CREATE TABLE mqtt.history (
    received_at timestamptz NOT NULL,
    measured_at timestamptz NOT NULL,
    position bigint NOT NULL,
    id uuid NOT NULL,
    organization integer NOT NULL,
    topic integer NOT NULL,
    stored_after integer NOT NULL,
    flags smallint NOT NULL,
    payload jsonb NOT NULL,
    sent_at timestamptz,
    content_type text,
    body bytea,
    decode_error text,
    properties jsonb
) PARTITION BY RANGE (received_at);
-- By time first: new entries go to the end, and the newest of any set of organizations are read in order without a hint; see docs/decisions.
CREATE INDEX history_received_at_idx ON mqtt.history (received_at, organization);
-- At most 24 bytes an entry: the pages of a wider index would be split in the middle, as entries come in order for each of many topics.
CREATE INDEX history_topic_idx ON mqtt.history (topic, measured_at);
CREATE INDEX history_id_idx ON mqtt.history USING brin (id uuid_minmax_multi_ops) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX history_given_id_idx ON mqtt.history (organization, id) WHERE flags & 16 = 16;
COMMENT ON TABLE mqtt.history IS
'Every message stored, in (from devices) and out (published), in few bytes; partitioned by UTC day of received_at. Read it through mqtt.mqtt_messages, or mqtt.readings.';
COMMENT ON COLUMN mqtt.history.received_at IS 'When the database accepted it, by the database''s clock.';
COMMENT ON COLUMN mqtt.history.measured_at IS 'The time that the device gave, where that is plausible (configuration.max_time_behind, max_time_ahead), else received_at.';
COMMENT ON COLUMN mqtt.history.position IS 'Order of acceptance, among messages of the same time: its number in the queue, or of one that a work item stands for, a number from that of the item on. Never shown outside, where it would count the messages of all organizations.';
COMMENT ON COLUMN mqtt.history.id IS 'Message id that the sender was told; a receipt id for outgoing messages.';
COMMENT ON COLUMN mqtt.history.organization IS 'Number of the organization (mqtt.organizations.number).';
COMMENT ON COLUMN mqtt.history.topic IS 'Number of its topic and what that means (mqtt.topics.number): integration, device, message type.';
COMMENT ON COLUMN mqtt.history.stored_after IS 'Milliseconds from received_at until it was stored, at most 24 days; 0 if that was at once.';
COMMENT ON COLUMN mqtt.history.flags IS 'Sum of the QoS (0 to 2) and 4: retained, 8: outgoing, 16: the id is the client''s own, 32: measured_at is the time that the device gave, 64: a payload rule matched it, and its readings, if any, are in mqtt.reading_rows, 128: that rule found the time, 256: its effects were given up (mqtt.mqtt_dead_letters).';
COMMENT ON COLUMN mqtt.history.payload IS 'The payload as JSON: as sent, or decoded from its content type; JSON null when body holds it instead.';
COMMENT ON COLUMN mqtt.history.sent_at IS 'The time that the device gave, where measured_at is another.';
COMMENT ON COLUMN mqtt.history.content_type IS 'Media type that came with it (MQTT 5 section 3.3.2.3.9), if any.';
COMMENT ON COLUMN mqtt.history.body IS 'The payload byte for byte, where it has no JSON form.';
COMMENT ON COLUMN mqtt.history.decode_error IS 'Why the payload could not be decoded as its content type says, or a payload rule found less in it than it looks for; else null.';
COMMENT ON COLUMN mqtt.history.properties IS 'MQTT 5 properties and other facts that came with it, if any.';
SELECT mqtt.create_default_partition('mqtt.history');
ALTER TABLE mqtt.history ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.history FOR SELECT TO authenticated
USING (organization = ANY ((SELECT mqtt.current_organization_numbers())::integer []));
CREATE POLICY service_reads ON mqtt.history FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.history TO authenticated, service_role;
COMMIT;
