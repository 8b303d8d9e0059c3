-- Deploy topicbase:api/integration_total to pg
-- requires: base/configuration
-- requires: integrations/access
-- requires: tables/device_integrations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.require_integration_total(organization_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_most bigint;
BEGIN
    PERFORM mqtt.require_organization(require_integration_total.organization_id, true);
    -- Two calls at once must not both find the last place free.
    SELECT o.max_integrations INTO v_most FROM mqtt.organizations AS o WHERE o.id = require_integration_total.organization_id FOR NO KEY UPDATE;
    v_most := 10 * coalesce(v_most, (SELECT c.max_integrations FROM mqtt.configuration AS c));
    IF v_most <= (SELECT count(*) FROM mqtt.device_integrations AS i WHERE i.organization_id = require_integration_total.organization_id) THEN
        RAISE EXCEPTION 'integration_limit_reached' USING
            ERRCODE = 'PT409',
            DETAIL = format('Your organization has %s integrations, those included that are switched off, and may have no more.', v_most),
            HINT = 'Delete some that are not used, or ask the operator to raise max_integrations.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_integration_total(uuid) IS
'Raises PT409 integration_limit_reached if the organization has ten times as many integrations as it may have switched on: each may have a megabyte of certificates.';
GRANT EXECUTE ON FUNCTION mqtt.require_integration_total(uuid) TO authenticated, service_role;
COMMIT;
