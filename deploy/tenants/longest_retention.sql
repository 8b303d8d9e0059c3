-- Deploy topicbase:tenants/longest_retention to pg
-- requires: base/configuration
-- requires: tenants/organizations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.longest_term(term text) RETURNS integer
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_days integer;
BEGIN
    EXECUTE format('SELECT greatest(max(c.%1$I), max(o.%1$I)) FROM mqtt.configuration AS c LEFT JOIN mqtt.organizations AS o ON true', term) INTO v_days;
    RETURN v_days;
END;
$$;
COMMENT ON FUNCTION mqtt.longest_term(text) IS
'Days that a table is kept for the sake of the organization that keeps it longest; term names a column of configuration and organizations.';
COMMIT;
