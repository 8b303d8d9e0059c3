-- Deploy topicbase:tenants/keep_former_slug to pg
-- requires: tenants/former_slugs
-- requires: tenants/organizations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
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
