-- Deploy topicbase:tables/publishers to pg
-- requires: tables/device_integrations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.publishers (
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL,
    role_name name NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, integration_id, role_name),
    FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX publishers_integration_id_idx ON mqtt.publishers (integration_id);
COMMENT ON TABLE mqtt.publishers IS 'Which database roles may publish to an integration with mqtt.publish; written by mqtt.grant_publisher and mqtt.revoke_publisher.';
COMMENT ON COLUMN mqtt.publishers.role_name IS 'Role whose privileges the current user must have.';
ALTER TABLE mqtt.publishers ENABLE ROW LEVEL SECURITY;
COMMIT;
