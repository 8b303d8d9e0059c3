-- Deploy topicbase:api/create_organization to pg
-- requires: base/configuration
-- requires: integrations/operator_access
-- requires: tables/log_activity
-- requires: tenants/former_slugs
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.create_organization(name text, slug text, admin_user_id uuid DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_organization mqtt.organizations;
BEGIN
    PERFORM mqtt.require_operator();
    IF create_organization.name IS NULL OR length(create_organization.name) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'name_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'name must be a string of 1 to 200 characters.', HINT = 'It is shown to people; topics start with the slug.';
    END IF;
    IF create_organization.slug IS NULL OR create_organization.slug !~ '^[a-z0-9][a-z0-9_-]{0,47}$' THEN
        RAISE EXCEPTION 'slug_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'slug must be 1 to 48 lower-case letters, digits, _ and -, and start with a letter or digit.',
            HINT = 'All topics of the organization''s hosted devices start with org_<slug>.';
    END IF;
    IF EXISTS (SELECT FROM mqtt.former_slugs AS f WHERE f.slug = create_organization.slug) THEN
        RAISE EXCEPTION 'slug_taken' USING
            ERRCODE = 'PT409',
            DETAIL = format('An organization with the slug %s was deleted, and brokers may still have its messages.', slug),
            HINT = 'Choose another slug, or free this one as docs/how-to/brokers/mosquitto.md says.';
    END IF;
    INSERT INTO mqtt.organizations (name, slug, max_per_second)
    SELECT create_organization.name, create_organization.slug, c.default_max_per_second
    FROM mqtt.configuration AS c
    ON CONFLICT DO NOTHING
    RETURNING * INTO v_organization;
    IF NOT found THEN
        RAISE EXCEPTION 'slug_taken' USING
            ERRCODE = 'PT409', DETAIL = format('There is already an organization with the slug %s.', slug), HINT = 'Choose another slug.';
    END IF;
    IF admin_user_id IS NOT NULL THEN
        INSERT INTO mqtt.organization_members (organization_id, user_id, role) VALUES (v_organization.id, admin_user_id, 'admin');
    END IF;
    PERFORM mqtt.log_activity(v_organization.id, NULL, 'organization_created', details => jsonb_build_object('admin_user_id', admin_user_id));
    RETURN to_jsonb(v_organization);
END;
$$;
COMMENT ON FUNCTION api.create_organization(text, text, uuid) IS
$md$Create an organization

For operators. Its devices' topics start with `org_<slug>`. The user admin_user_id (the `sub` of that user's JWT) becomes its first admin; you can also add one
later with `add_organization_member`. It may send `default_max_per_second` messages a second if the installation has that, until `set_organization_limits` says otherwise.
Returns the organization: id, name, slug, topic_prefix and so on.
Errors: 400 `name_invalid`, `slug_invalid`; 403 `operator_required`; 409 `slug_taken`.
Answer: "mqtt.organizations"$md$;
GRANT EXECUTE ON FUNCTION api.create_organization(text, text, uuid) TO authenticated, service_role;
COMMIT;
