-- Deploy topicbase:tables/packs to pg
-- requires: tables/history_values
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.packed_days (
    day date PRIMARY KEY,
    run integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    state text NOT NULL DEFAULT 'packing' CHECK (state IN ('packing', 'packed', 'dropped')),
    message_count bigint NOT NULL DEFAULT 0,
    next_topic integer NOT NULL DEFAULT 0,
    next_measured_at timestamptz NOT NULL DEFAULT '-infinity',
    changed_by xid8,
    packed_by xid8,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    packed_at timestamptz
);
-- Of a table as small as this, too: where sequential scans are off, one would make any plan seem to cost as much as any other, and so much that it is compiled.
CREATE INDEX packed_days_state_idx ON mqtt.packed_days (state);
COMMENT ON TABLE mqtt.packed_days IS
'Days (UTC) of the history whose messages are in mqtt.packs. packing: they are being written, and readers see the history; packed: readers see the packs, and the rows of the history wait until no snapshot is left that sees them; dropped: they are gone.';
COMMENT ON COLUMN mqtt.packed_days.run IS 'Number that its packs have.';
COMMENT ON COLUMN mqtt.packed_days.message_count IS 'Messages that were packed; later deletions are not taken off.';
COMMENT ON COLUMN mqtt.packed_days.next_topic IS 'Packing goes by topic and measured_at: up to before this topic, and of it up to next_measured_at, all is packed.';
COMMENT ON COLUMN mqtt.packed_days.changed_by IS 'Transaction that last changed the day''s rows while they were being packed: it is packed again from the start.';
COMMENT ON COLUMN mqtt.packed_days.packed_by IS 'Transaction from which on readers see the packs.';
ALTER TABLE mqtt.packed_days ENABLE ROW LEVEL SECURITY;
CREATE POLICY everyone_reads ON mqtt.packed_days FOR SELECT TO authenticated, service_role USING (true);
GRANT SELECT ON mqtt.packed_days TO authenticated, service_role;

CREATE TABLE mqtt.packs (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_received_at timestamptz NOT NULL,
    last_received_at timestamptz NOT NULL,
    first_measured_at timestamptz NOT NULL,
    last_measured_at timestamptz NOT NULL,
    first_position bigint NOT NULL,
    last_position bigint NOT NULL,
    organization integer NOT NULL,
    topic integer NOT NULL,
    run integer NOT NULL,
    message_count integer NOT NULL CHECK (message_count > 0),
    measured_step integer,
    received_low integer [] NOT NULL,
    received_high smallint [] NOT NULL,
    measured_low integer [],
    measured_high integer [],
    position_low smallint [] NOT NULL,
    position_high bigint [] NOT NULL,
    id_low integer [] NOT NULL,
    id_high "char" [] NOT NULL,  -- noqa: RF06
    id_place integer [] NOT NULL,
    stored_after integer [] NOT NULL,
    flags smallint [] NOT NULL,
    payloads text NOT NULL,
    given_ids uuid [],
    rests text
) WITH (toast_tuple_target = 256);
-- The arrays stay with their row, and what is compressed best goes elsewhere: a pack is chosen by the first, and opened for the second.
ALTER TABLE mqtt.packs
ALTER received_low SET STORAGE MAIN, ALTER received_high SET STORAGE MAIN, ALTER measured_low SET STORAGE MAIN, ALTER measured_high SET STORAGE MAIN,
ALTER position_low SET STORAGE MAIN, ALTER position_high SET STORAGE MAIN, ALTER id_low SET STORAGE MAIN, ALTER id_high SET STORAGE MAIN,
ALTER id_place SET STORAGE MAIN, ALTER stored_after SET STORAGE MAIN, ALTER flags SET STORAGE MAIN, ALTER given_ids SET STORAGE MAIN;
CREATE INDEX packs_received_at_idx ON mqtt.packs (organization, last_received_at);
CREATE INDEX packs_topic_received_at_idx ON mqtt.packs (topic, last_received_at);
CREATE INDEX packs_topic_measured_at_idx ON mqtt.packs (topic, last_measured_at);
CREATE INDEX packs_run_idx ON mqtt.packs (run);
CREATE INDEX packs_given_ids_idx ON mqtt.packs USING gin (given_ids) WHERE given_ids IS NOT NULL;
COMMENT ON TABLE mqtt.packs IS
'The messages of packed days (mqtt.packed_days), up to some hundred of one topic in each row. Read them through mqtt.mqtt_messages or mqtt.readings. Of each array all elements are there, in the order of received_at and position, or one for all messages.';
COMMENT ON COLUMN mqtt.packs.organization IS 'Number of the organization (mqtt.organizations.number).';
COMMENT ON COLUMN mqtt.packs.topic IS 'Number of the topic (mqtt.topics.number).';
COMMENT ON COLUMN mqtt.packs.run IS 'mqtt.packed_days.run of their day; 0 where they were packed in another installation.';
COMMENT ON COLUMN mqtt.packs.measured_step IS 'Microseconds of which measured_at is a multiple after first_measured_at; null where all were measured when they were received.';
COMMENT ON COLUMN mqtt.packs.received_low IS 'Low 30 bits of the microseconds from first_received_at; received_high has the rest.';
COMMENT ON COLUMN mqtt.packs.measured_low IS 'Low 30 bits of the steps from first_measured_at; measured_high has the rest.';
COMMENT ON COLUMN mqtt.packs.position_low IS 'Low 15 bits of the distance from first_position; position_high has the rest.';
COMMENT ON COLUMN mqtt.packs.id_low IS 'The last 32 bits of ids made by mqtt.message_id; id_high has the 8 before, id_place the place in the call.';
COMMENT ON COLUMN mqtt.packs.payloads IS 'The payloads as JSON, one a line.';
COMMENT ON COLUMN mqtt.packs.given_ids IS 'Ids that no time and place make; null for the others.';
COMMENT ON COLUMN mqtt.packs.rests IS 'What few messages have, as JSON, one a line: sent_at, content_type, body (base64), decode_error, properties.';
ALTER TABLE mqtt.packs ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.packs FOR SELECT TO authenticated
USING (organization = ANY ((SELECT mqtt.current_organization_numbers())::integer []));
CREATE POLICY service_reads ON mqtt.packs FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.packs TO authenticated, service_role;
COMMIT;
