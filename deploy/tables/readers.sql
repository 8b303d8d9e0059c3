-- Deploy topicbase:tables/readers to pg
-- requires: tenants/organizations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.readers (
    organization_id uuid NOT NULL REFERENCES mqtt.organizations (id) ON DELETE CASCADE,
    role_name name NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, role_name)
);
CREATE INDEX readers_role_name_idx ON mqtt.readers (role_name);
COMMENT ON TABLE mqtt.readers IS 'Which organizations a database login reads in schema readings; written by mqtt.grant_reader and mqtt.revoke_reader.';
COMMENT ON COLUMN mqtt.readers.role_name IS 'The role that logs in: session_user, which no SET changes.';
ALTER TABLE mqtt.readers ENABLE ROW LEVEL SECURITY;
COMMIT;
