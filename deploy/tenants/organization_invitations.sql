-- Deploy topicbase:tenants/organization_invitations to pg
-- requires: tenants/organizations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.organization_invitations (
    organization_id uuid NOT NULL REFERENCES mqtt.organizations (id) ON DELETE CASCADE,
    user_id uuid NOT NULL,
    role text NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'admin')),
    invited_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX organization_invitations_user_id_idx ON mqtt.organization_invitations (user_id);
COMMENT ON TABLE mqtt.organization_invitations IS 'Users whom an admin wants as members, until they accept: nobody becomes a member without consent.';
COMMENT ON COLUMN mqtt.organization_invitations.role IS 'What the user becomes by accepting: member or admin.';
COMMENT ON COLUMN mqtt.organization_invitations.invited_by IS 'User id of the admin.';
ALTER TABLE mqtt.organization_invitations ENABLE ROW LEVEL SECURITY;
COMMIT;
