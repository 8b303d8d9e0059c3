-- Deploy topicbase:tenants/organizations to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.organizations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9_-]{0,47}$'),
    topic_prefix text NOT NULL UNIQUE GENERATED ALWAYS AS ('org_' || slug) STORED,
    completed_days integer CHECK (completed_days > 0),
    failed_days integer CHECK (failed_days > 0),
    activity_days integer CHECK (activity_days > 0),
    max_per_second numeric CHECK (max_per_second > 0),
    max_burst integer CHECK (max_burst > 0),
    max_queued bigint CHECK (max_queued > 0),
    max_payload_bytes integer CHECK (max_payload_bytes > 0),
    ingest_pause text,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE mqtt.organizations IS 'Tenants. Everything else belongs to exactly one of them.';
COMMENT ON COLUMN mqtt.organizations.slug IS 'Short name, lower case letters, digits, _ and -, at most 48; first level of its topics after org_.';
COMMENT ON COLUMN mqtt.organizations.topic_prefix IS 'First topic level of all that its hosted devices may use: org_<slug>.';
COMMENT ON COLUMN mqtt.organizations.completed_days IS 'Days that its history is kept; null takes the installation''s.';
COMMENT ON COLUMN mqtt.organizations.failed_days IS 'Days that its dead letters are kept; null takes the installation''s.';
COMMENT ON COLUMN mqtt.organizations.activity_days IS 'Days that its activity log is kept; null takes the installation''s.';
COMMENT ON COLUMN mqtt.organizations.max_per_second IS 'Messages a second that its devices may send over HTTP together; null is without limit.';
COMMENT ON COLUMN mqtt.organizations.max_burst IS 'Messages that they may send at once after a pause; null takes two seconds'' worth.';
COMMENT ON COLUMN mqtt.organizations.max_queued IS 'Messages waiting from which on its devices are refused (429) and its brokers left unread; null is without limit.';
COMMENT ON COLUMN mqtt.organizations.max_payload_bytes IS 'Largest payload of one message; null takes the installation''s, which also bounds it.';
COMMENT ON COLUMN mqtt.organizations.ingest_pause IS 'Why its devices are refused, and its brokers left unread, just now; written by mqtt.check_capacity, null while its queue is open.';
ALTER TABLE mqtt.organizations ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON mqtt.organizations TO authenticated, service_role;
COMMIT;
