-- Deploy topicbase:tables/bridges to pg
-- requires: tables/device_integrations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.bridges (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    version text NOT NULL CHECK (length(version) BETWEEN 1 AND 50),
    main_pid integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
COMMENT ON TABLE mqtt.bridges IS 'Bridge processes that run or ran a moment ago; each holds a session advisory lock on its id, and says that it lives every few seconds.';
COMMENT ON COLUMN mqtt.bridges.id IS 'Made anew at each start of a process; its sessions carry it in their application_name.';
COMMENT ON COLUMN mqtt.bridges.name IS 'Host name and process id, for people.';
COMMENT ON COLUMN mqtt.bridges.main_pid IS 'Server process of the session that holds its locks.';
COMMENT ON COLUMN mqtt.bridges.seen_at IS 'When it last said that it lives.';
ALTER TABLE mqtt.bridges ENABLE ROW LEVEL SECURITY;
CREATE POLICY service_reads ON mqtt.bridges FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.bridges TO service_role;

CREATE TABLE mqtt.bridge_leases (
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL UNIQUE,
    bridge_id uuid NOT NULL REFERENCES mqtt.bridges (id) ON DELETE CASCADE,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, integration_id),
    FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX bridge_leases_bridge_idx ON mqtt.bridge_leases (bridge_id);
COMMENT ON TABLE mqtt.bridge_leases IS
'Which bridge speaks with an integration''s broker. What any other bridge claims, settles or hands in for it has no effect.';
ALTER TABLE mqtt.bridge_leases ENABLE ROW LEVEL SECURITY;
CREATE POLICY service_reads ON mqtt.bridge_leases FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.bridge_leases TO service_role;
COMMIT;
