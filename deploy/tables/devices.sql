-- Deploy topicbase:tables/devices to pg
-- requires: tables/device_integrations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.devices (
    organization_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    integration_id uuid NOT NULL,
    external_id text NOT NULL CHECK (octet_length(external_id) BETWEEN 1 AND 255),
    name text CHECK (length(name) BETWEEN 1 AND 200),
    metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    last_data jsonb,
    last_data_at timestamptz,
    latest jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(latest) = 'object'),
    is_data_latest boolean NOT NULL DEFAULT false,
    last_seen_at timestamptz,
    presence jsonb NOT NULL DEFAULT '{"state": "unknown", "since": null}' CHECK (jsonb_typeof(presence) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    -- In an order that the primary key cannot stand in for.
    UNIQUE (integration_id, organization_id, external_id),
    FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations (organization_id, id) ON DELETE CASCADE
)
-- Room for new versions in the page: an update that stays there makes no index entries.
WITH (fillfactor = 70);
COMMENT ON TABLE mqtt.devices IS 'Devices; registered by hand or by their first message.';
COMMENT ON COLUMN mqtt.devices.external_id IS 'Device id as it stands in the topic, at most 255 bytes.';
COMMENT ON COLUMN mqtt.devices.last_data IS 'Payload of its newest telemetry; while vacuum is held back, up to some seconds late (mqtt.apply_due_updates).';
COMMENT ON COLUMN mqtt.devices.last_data_at IS 'Time of that message by the device''s clock where it sent one, else when it was received; an older message never replaces a newer one.';
COMMENT ON COLUMN mqtt.devices.latest IS 'Newest values of metrics, at most 500: {"temperature": {"value": 23.5, "at": "…"}}; as late as last_data. Those that last_data tells are not written here with each message: mqtt.latest_of has all.';
COMMENT ON COLUMN mqtt.devices.is_data_latest IS 'Whether the metrics of last_data, measured at last_data_at, are newer than what latest has.';
COMMENT ON COLUMN mqtt.devices.last_seen_at IS 'When the device last sent anything, by the database''s clock; commands to it do not count, nor what a broker had retained.';
COMMENT ON COLUMN mqtt.devices.presence IS 'Whether it is connected: {"state": "online", "offline" or "unknown", "since"}, as its status messages said, in the order of their acceptance; by: silence, where offline_after made it offline.';
ALTER TABLE mqtt.devices ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.devices FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY members_insert ON mqtt.devices FOR INSERT TO authenticated
WITH CHECK (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY members_update ON mqtt.devices FOR UPDATE TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []))
WITH CHECK (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY admins_delete ON mqtt.devices FOR DELETE TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids(true))::uuid []));
CREATE POLICY service_writes ON mqtt.devices TO service_role USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON mqtt.devices TO authenticated, service_role;
COMMIT;
