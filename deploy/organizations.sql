-- Deploy topicbase:organizations to pg
-- requires: configuration
BEGIN;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.organizations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9_-]{0,47}$'),
    topic_prefix text NOT NULL UNIQUE GENERATED ALWAYS AS ('org_' || slug) STORED,
    completed_days integer CHECK (completed_days > 0),
    failed_days integer CHECK (failed_days > 0),
    activity_days integer CHECK (activity_days > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE mqtt.organizations IS 'Tenants. Everything else belongs to exactly one of them.';
COMMENT ON COLUMN mqtt.organizations.slug IS 'Short name, lower case letters, digits, _ and -, at most 48; first level of its topics after org_.';
COMMENT ON COLUMN mqtt.organizations.topic_prefix IS 'First topic level of all that its hosted devices may use: org_<slug>.';
COMMENT ON COLUMN mqtt.organizations.completed_days IS 'Days that its history is kept; null takes the installation''s.';
COMMENT ON COLUMN mqtt.organizations.failed_days IS 'Days that its dead letters are kept; null takes the installation''s.';
COMMENT ON COLUMN mqtt.organizations.activity_days IS 'Days that its activity log is kept; null takes the installation''s.';
ALTER TABLE mqtt.organizations ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON mqtt.organizations TO authenticated, service_role;
COMMIT;
