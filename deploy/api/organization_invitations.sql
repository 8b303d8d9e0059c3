-- Deploy topicbase:api/organization_invitations to pg
-- requires: integrations/access
-- requires: tables/log_activity
-- requires: tenants/organization_invitations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.list_organization_invitations(organization_id uuid DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF organization_id IS NOT NULL THEN
        PERFORM mqtt.require_organization(list_organization_invitations.organization_id, true);
    END IF;
    RETURN (
        SELECT coalesce(jsonb_agg(to_jsonb(v) || jsonb_build_object('organization_name', o.name) ORDER BY v.created_at, v.organization_id, v.user_id), '[]')
        FROM mqtt.organization_invitations AS v
        JOIN mqtt.organizations AS o ON o.id = v.organization_id
        WHERE CASE
            WHEN list_organization_invitations.organization_id IS NULL THEN v.user_id = mqtt.current_user_id()
            ELSE v.organization_id = list_organization_invitations.organization_id
        END
    );
END;
$$;
COMMENT ON FUNCTION api.list_organization_invitations(uuid) IS
$md$List invitations

Without organization_id, those of the caller to any organization; with it, those that this organization has open, for its admins. An array of
`organization_id`, `organization_name`, `user_id`, `role`, `invited_by`, `created_at`.
Errors: 403 `admin_required`; 404 `organization_not_found`.
Answer: [{"...": "mqtt.organization_invitations", "organization_name": "text"}]$md$;
GRANT EXECUTE ON FUNCTION api.list_organization_invitations(uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.accept_organization_invitation(organization_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_member mqtt.organization_members;
BEGIN
    WITH accepted AS (
        DELETE FROM mqtt.organization_invitations AS v
        WHERE v.organization_id = accept_organization_invitation.organization_id AND v.user_id = mqtt.current_user_id()
        RETURNING v.organization_id, v.user_id, v.role
    )
    INSERT INTO mqtt.organization_members AS m (organization_id, user_id, role)
    SELECT a.organization_id, a.user_id, a.role FROM accepted AS a
    ON CONFLICT ON CONSTRAINT organization_members_pkey DO UPDATE SET role = excluded.role
    RETURNING m.* INTO v_member;
    IF NOT found THEN
        PERFORM mqtt.require_argument('organization_id', organization_id::text);
        RAISE EXCEPTION 'invitation_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('You have no invitation to organization %s.', organization_id),
            HINT = 'list_organization_invitations shows yours.';
    END IF;
    PERFORM mqtt.log_activity(
        v_member.organization_id, NULL, 'member_added', details => jsonb_build_object('user_id', v_member.user_id, 'role', v_member.role)
    );
    RETURN to_jsonb(v_member) || '{"status": "member"}';
END;
$$;
COMMENT ON FUNCTION api.accept_organization_invitation(uuid) IS
$md$Become a member of an organization that has invited you

Returns the member. To decline, call `remove_organization_member` with your own user_id.
Errors: 404 `invitation_not_found`.
Answer: {"...": "mqtt.organization_members", "status": "=member"}$md$;
GRANT EXECUTE ON FUNCTION api.accept_organization_invitation(uuid) TO authenticated, service_role;
COMMIT;
