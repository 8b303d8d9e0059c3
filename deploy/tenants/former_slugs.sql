-- Deploy topicbase:tenants/former_slugs to pg
-- requires: tenants/organizations
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

CREATE OR REPLACE FUNCTION mqtt.keep_former_slug() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO mqtt.former_slugs (slug) VALUES (OLD.slug) ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.keep_former_slug() IS 'Trigger: the slug of an organization that is deleted is not given again.';
CREATE OR REPLACE TRIGGER keep_former_slug AFTER DELETE ON mqtt.organizations FOR EACH ROW EXECUTE FUNCTION mqtt.keep_former_slug();
COMMIT;
