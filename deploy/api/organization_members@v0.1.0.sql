-- Deploy topicbase:api/organization_members to pg
-- requires: integrations/access
-- requires: tables/log_activity
-- requires: tenants/organization_invitations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.add_organization_member(organization_id uuid, user_id uuid, role text DEFAULT 'member') RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_member mqtt.organization_members;
    v_invitation mqtt.organization_invitations;
BEGIN
    PERFORM mqtt.require_organization(add_organization_member.organization_id, true);
    IF add_organization_member.user_id IS NULL OR add_organization_member.role IS NULL OR add_organization_member.role NOT IN ('member', 'admin') THEN
        RAISE EXCEPTION 'member_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'user_id must be the sub of the user''s JWT; role must be member or admin.',
            HINT = 'A member reads and publishes; an admin also manages integrations, credentials, subscriptions and members.';
    END IF;
    -- Changes of members wait for each other here, so that an organization keeps an admin.
    PERFORM FROM mqtt.organizations AS o WHERE o.id = add_organization_member.organization_id FOR NO KEY UPDATE;
    -- It may have been deleted while this waited.
    PERFORM mqtt.require_organization(add_organization_member.organization_id, true);
    IF NOT mqtt.is_operator() AND NOT EXISTS (
        SELECT
        FROM mqtt.organization_members AS m
        WHERE m.organization_id = add_organization_member.organization_id AND m.user_id = add_organization_member.user_id
    ) THEN
        INSERT INTO mqtt.organization_invitations AS v (organization_id, user_id, role, invited_by)
        VALUES (add_organization_member.organization_id, add_organization_member.user_id, add_organization_member.role, mqtt.current_user_id())
        ON CONFLICT ON CONSTRAINT organization_invitations_pkey DO UPDATE SET role = excluded.role, invited_by = excluded.invited_by
        RETURNING v.* INTO v_invitation;
        PERFORM mqtt.log_activity(
            v_invitation.organization_id, NULL, 'member_invited', details => jsonb_build_object('user_id', v_invitation.user_id, 'role', v_invitation.role)
        );
        RETURN to_jsonb(v_invitation) || '{"status": "invited"}';
    END IF;
    INSERT INTO mqtt.organization_members AS m (organization_id, user_id, role)
    VALUES (add_organization_member.organization_id, add_organization_member.user_id, add_organization_member.role)
    ON CONFLICT ON CONSTRAINT organization_members_pkey DO UPDATE SET role = excluded.role
    RETURNING m.* INTO v_member;
    IF NOT EXISTS (
        SELECT FROM mqtt.organization_members AS m WHERE m.organization_id = add_organization_member.organization_id AND m.role = 'admin'
    ) AND NOT mqtt.is_operator() THEN
        RAISE EXCEPTION 'last_admin' USING
            ERRCODE = 'PT409', DETAIL = 'The organization would have no admin left.', HINT = 'Make someone else an admin first.';
    END IF;
    PERFORM mqtt.log_activity(
        v_member.organization_id, NULL, 'member_added', details => jsonb_build_object('user_id', v_member.user_id, 'role', v_member.role)
    );
    RETURN to_jsonb(v_member) || '{"status": "member"}';
END;
$$;
COMMENT ON FUNCTION api.add_organization_member(uuid, uuid, text) IS
$md$Invite a user to an organization, or change a member's role

For admins of the organization and service_role. user_id is the `sub` of that user's JWT; role is `member` (reads and publishes) or
`admin` (also manages integrations, credentials, subscriptions and members). Whom an admin adds is invited (`status` is `invited`) and becomes
a member by `accept_organization_invitation`; whom service_role adds is a member at once (`status` is `member`).
Errors: 400 `member_invalid`; 403 `admin_required`; 404 `organization_not_found`; 409 `last_admin`.
Body: {"role": "member|admin"}
Answer: {"...": "mqtt.organization_members", "invited_by?": "uuid?", "status": "member|invited"}$md$;
GRANT EXECUTE ON FUNCTION api.add_organization_member(uuid, uuid, text) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.remove_organization_member(organization_id uuid, user_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_self CONSTANT boolean := coalesce(mqtt.current_user_id() = remove_organization_member.user_id, false);
    v_member mqtt.organization_members;
    v_invitation mqtt.organization_invitations;
BEGIN
    IF NOT v_is_self THEN
        PERFORM mqtt.require_organization(remove_organization_member.organization_id, true);
    END IF;
    PERFORM FROM mqtt.organizations AS o WHERE o.id = remove_organization_member.organization_id FOR NO KEY UPDATE;
    DELETE FROM mqtt.organization_invitations AS v
    WHERE v.organization_id = remove_organization_member.organization_id AND v.user_id = remove_organization_member.user_id
    RETURNING v.* INTO v_invitation;
    IF found THEN
        RETURN to_jsonb(v_invitation) || '{"status": "invited"}';
    END IF;
    DELETE FROM mqtt.organization_members AS m
    WHERE m.organization_id = remove_organization_member.organization_id AND m.user_id = remove_organization_member.user_id
    RETURNING m.* INTO v_member;
    IF NOT found THEN
        PERFORM mqtt.require_organization(remove_organization_member.organization_id);
        PERFORM mqtt.require_argument('user_id', user_id::text);
        RAISE EXCEPTION 'member_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('The organization does not have a member %s.', user_id),
            HINT = 'GET /organization_members lists its members.';
    END IF;
    IF v_member.role = 'admin' AND NOT v_is_self AND NOT mqtt.is_operator() AND NOT EXISTS (
        SELECT FROM mqtt.organization_members AS m WHERE m.organization_id = remove_organization_member.organization_id AND m.role = 'admin'
    ) THEN
        RAISE EXCEPTION 'last_admin' USING
            ERRCODE = 'PT409', DETAIL = 'The organization would have no admin left.', HINT = 'Make someone else an admin first.';
    END IF;
    PERFORM mqtt.log_activity(v_member.organization_id, NULL, 'member_removed', details => jsonb_build_object('user_id', v_member.user_id));
    RETURN to_jsonb(v_member) || '{"status": "member"}';
END;
$$;
COMMENT ON FUNCTION api.remove_organization_member(uuid, uuid) IS
$md$Remove a user from an organization, or leave it

For admins of the organization and service_role, and for everyone with their own user_id: leaving, and declining an invitation, is always
possible. It takes effect at that user's next request. Returns the removed member, or the withdrawn invitation (`status` is `invited`).
Errors: 403 `admin_required`; 404 `organization_not_found`, `member_not_found`; 409 `last_admin`.
Answer: {"...": "mqtt.organization_members", "invited_by?": "uuid?", "status": "member|invited"}$md$;
GRANT EXECUTE ON FUNCTION api.remove_organization_member(uuid, uuid) TO authenticated, service_role;
COMMIT;
