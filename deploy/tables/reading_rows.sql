-- Deploy topicbase:tables/reading_rows to pg
-- requires: base/partitions
-- requires: tables/topics
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.reading_rows (
    received_at timestamptz NOT NULL,
    measured_at timestamptz NOT NULL,
    position bigint NOT NULL,
    id uuid NOT NULL,
    message_id uuid NOT NULL,
    organization integer NOT NULL,
    topic integer NOT NULL,
    payload jsonb NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX reading_rows_received_at_idx ON mqtt.reading_rows (received_at, organization);
CREATE INDEX reading_rows_topic_idx ON mqtt.reading_rows (topic, measured_at);
COMMENT ON TABLE mqtt.reading_rows IS
'What payload rules made of messages (is_interpreted): of each message a row for each sample; partitioned by UTC day of received_at, as the history is.';
COMMENT ON COLUMN mqtt.reading_rows.position IS 'As of the message; of further samples in it a number of their own. Never shown outside.';
COMMENT ON COLUMN mqtt.reading_rows.id IS 'Of the first sample the message''s id.';
COMMENT ON COLUMN mqtt.reading_rows.organization IS 'Number of the organization (mqtt.organizations.number).';
COMMENT ON COLUMN mqtt.reading_rows.topic IS 'Number of the message''s topic with the sample''s device and the rule''s role (mqtt.topics.number).';
COMMENT ON COLUMN mqtt.reading_rows.payload IS 'The metrics by name.';
SELECT mqtt.create_default_partition('mqtt.reading_rows');
ALTER TABLE mqtt.reading_rows ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.reading_rows FOR SELECT TO authenticated
USING (organization = ANY ((SELECT mqtt.current_organization_numbers())::integer []));
CREATE POLICY service_reads ON mqtt.reading_rows FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.reading_rows TO authenticated, service_role;
COMMIT;
