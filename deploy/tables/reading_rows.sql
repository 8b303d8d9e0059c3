-- Deploy topicbase:tables/reading_rows to pg
-- requires: base/partitions
-- requires: tenants/membership
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.reading_rows (
    received_at timestamptz NOT NULL,
    measured_at timestamptz NOT NULL,
    position bigint NOT NULL,
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    integration_id uuid NOT NULL,
    device_id uuid NOT NULL,
    message_id uuid NOT NULL,
    role text NOT NULL,
    payload jsonb NOT NULL,
    PRIMARY KEY (organization_id, received_at, id)
) PARTITION BY RANGE (received_at);
CREATE INDEX reading_rows_integration_idx ON mqtt.reading_rows (integration_id, received_at, position);
CREATE INDEX reading_rows_device_idx ON mqtt.reading_rows (device_id, measured_at, position);
COMMENT ON TABLE mqtt.reading_rows IS
'What payload rules made of messages (is_interpreted): of each message a row for each sample; partitioned by UTC day of received_at, as the messages are.';
COMMENT ON COLUMN mqtt.reading_rows.position IS 'As of the message; of further samples in it a number of their own. Never shown outside.';
COMMENT ON COLUMN mqtt.reading_rows.id IS 'Of the first sample the message''s id.';
COMMENT ON COLUMN mqtt.reading_rows.role IS 'The rule''s: telemetry or event.';
COMMENT ON COLUMN mqtt.reading_rows.payload IS 'The metrics by name.';
SELECT mqtt.create_default_partition('mqtt.reading_rows');
ALTER TABLE mqtt.reading_rows ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.reading_rows FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
GRANT SELECT ON mqtt.reading_rows TO authenticated, service_role;
COMMIT;
