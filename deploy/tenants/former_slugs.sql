-- Deploy topicbase:tenants/former_slugs to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.former_slugs (
    slug text PRIMARY KEY,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE mqtt.former_slugs IS
'Slugs of organizations that were deleted. A hosted broker keeps what they retained, and what waits for their sessions, and would give it to whoever has those topics next.';
ALTER TABLE mqtt.former_slugs ENABLE ROW LEVEL SECURITY;
COMMIT;
