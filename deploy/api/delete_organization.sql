-- Deploy topicbase:api/delete_organization to pg
-- requires: api/deletions
-- requires: integrations/operator_access
-- requires: tables/api_keys
-- requires: tenants/organization_invitations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.delete_organization(organization_id uuid, confirm text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_organization mqtt.organizations;
    v_deletion mqtt.deletions;
BEGIN
    IF mqtt.may_operate() THEN
        SELECT o.* INTO v_organization FROM mqtt.organizations AS o WHERE o.id = delete_organization.organization_id;
    END IF;
    IF v_organization.id IS NULL THEN
        v_organization := mqtt.require_organization(delete_organization.organization_id, true);
    END IF;
    IF NOT mqtt.is_operator() AND v_organization.name IS DISTINCT FROM delete_organization.confirm THEN
        RAISE EXCEPTION 'confirmation_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'confirm is not the name of the organization.',
            HINT = 'All that the organization has will be deleted: send its name, exactly as GET /organizations shows it, as confirm.';
    END IF;
    -- Two calls at once, and changes of members, wait for each other here.
    PERFORM FROM mqtt.organizations AS o WHERE o.id = v_organization.id FOR NO KEY UPDATE;
    SELECT d.* INTO v_deletion FROM mqtt.deletions AS d WHERE d.organization_id = v_organization.id AND d.kind = 'organization';
    IF NOT found THEN
        INSERT INTO mqtt.deletions AS d (organization_id, kind, subject, requested_by)
        VALUES (v_organization.id, 'organization', v_organization.slug, mqtt.current_user_id())
        RETURNING d.* INTO v_deletion;
        -- This ends its logins and its connections to brokers at once, however many there are.
        UPDATE mqtt.device_integrations AS i SET status = 'inactive' WHERE i.organization_id = v_organization.id AND i.status <> 'inactive';
        DELETE FROM mqtt.api_keys AS k WHERE k.organization_id = v_organization.id;
        DELETE FROM mqtt.organization_invitations AS v WHERE v.organization_id = v_organization.id;
        DELETE FROM mqtt.organization_members AS m WHERE m.organization_id = v_organization.id;
    END IF;
    PERFORM set_config('response.status', '202', true);
    RETURN mqtt.deletion_json(v_deletion);
END;
$$;
COMMENT ON FUNCTION api.delete_organization(uuid, text) IS
$md$Delete an organization with everything that it has

For operators, and for admins of the organization; confirm is its name, which only service_role may omit. At once it has no members and no API keys
any longer, HTTP refuses its devices, the hosted broker disconnects them, and its brokers are left. Answers 202 with a deletion, which maintenance
works off: messages, queues, devices, logins, rollups, receipts, logs, and last the organization itself. `get_deletion` shows its progress to whoever
made this call and to service_role. Its slug is not given to another. This cannot be undone.
Errors: 400 `confirmation_invalid`; 403 `admin_required`; 404 `organization_not_found`.
Answer 202: "mqtt.deletion_json"$md$;
GRANT EXECUTE ON FUNCTION api.delete_organization(uuid, text) TO authenticated, service_role;
COMMIT;
