-- Deploy topicbase:tenants/organization_members to pg
-- requires: tenants/organizations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.organization_members (
    organization_id uuid NOT NULL REFERENCES mqtt.organizations (id) ON DELETE CASCADE,
    user_id uuid NOT NULL,
    role text NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'admin')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX organization_members_user_id_idx ON mqtt.organization_members (user_id) INCLUDE (organization_id, role);
COMMENT ON TABLE mqtt.organization_members IS 'Which users (the sub of their JWT) belong to an organization, and as what.';
COMMENT ON COLUMN mqtt.organization_members.role IS 'member reads and publishes; admin also manages integrations, credentials and subscriptions.';
ALTER TABLE mqtt.organization_members ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON mqtt.organization_members TO authenticated, service_role;
COMMIT;
