-- Deploy topicbase:api/create_browser_login to pg
-- requires: api/generate_mqtt_credentials
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.end_browser_logins(organization_id uuid, member_id uuid, most integer) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM mqtt.mqtt_credentials AS c
    WHERE c.organization_id = end_browser_logins.organization_id AND c.member_id = end_browser_logins.member_id
        AND coalesce(c.revoked_at, c.expires_at) < now() - interval '1 day';
    UPDATE mqtt.mqtt_credentials AS c
    SET revoked_at = clock_timestamp()
    WHERE c.id IN (
        SELECT o.id
        FROM mqtt.mqtt_credentials AS o
        WHERE o.organization_id = end_browser_logins.organization_id AND o.member_id = end_browser_logins.member_id
            AND o.revoked_at IS NULL AND o.expires_at > now()
        ORDER BY o.created_at DESC, o.expires_at DESC, o.id
        OFFSET end_browser_logins.most
    );
END;
$$;
COMMENT ON FUNCTION mqtt.end_browser_logins(uuid, uuid, integer) IS
'Revokes all but the newest browser logins of a member, and deletes those that ended more than a day ago.';

CREATE OR REPLACE FUNCTION mqtt.require_member(organization_id uuid) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_member_id uuid;
BEGIN
    -- Locked, so that two calls of one member count each other's logins.
    SELECT m.user_id INTO v_member_id
    FROM mqtt.organization_members AS m
    WHERE m.organization_id = require_member.organization_id AND m.user_id = mqtt.current_user_id()
    FOR NO KEY UPDATE;
    IF NOT found THEN
        RAISE EXCEPTION 'member_required' USING
            ERRCODE = 'PT403',
            DETAIL = 'A browser login belongs to a member of the organization.',
            HINT = 'Call it with the member''s own token; generate_mqtt_credentials generates logins for everything else.';
    END IF;
    RETURN v_member_id;
END;
$$;
COMMENT ON FUNCTION mqtt.require_member(uuid) IS 'The calling user, locked as a member of the organization. Raises PT403 member_required for anyone else.';

CREATE OR REPLACE FUNCTION api.create_browser_login(
    integration_id uuid, subscribe_filters text [] DEFAULT NULL, lifetime interval DEFAULT '1 hour', organization_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(create_browser_login.integration_id, create_browser_login.organization_id);
    v_organization mqtt.organizations := mqtt.require_organization(v_integration.organization_id);
    v_member_id uuid := mqtt.require_member(v_organization.id);
    v_username text := left(v_organization.slug, 24) || '_' || encode(mqtt.random_bytes(8), 'hex');
    v_password text := mqtt.random_password();
    v_salt bytea := mqtt.random_bytes(16);
    v_verifier bytea := mqtt.password_verifier(v_salt, v_password);
    v_mosquitto_hash text := mqtt.mosquitto_password_hash(v_password);
    v_bcrypt_hash text := mqtt.bcrypt_password_hash(v_password);
    v_credential mqtt.mqtt_credentials;
BEGIN
    IF v_integration.integration_type <> 'mqtt_hosted' THEN
        RAISE EXCEPTION 'not_hosted' USING
            ERRCODE = 'PT400', DETAIL = 'Browser logins are for hosted integrations.', HINT = 'At an external broker, its operator decides who may log in.';
    ELSIF (create_browser_login.lifetime BETWEEN '1 minute' AND '24 hours') IS NOT TRUE THEN
        RAISE EXCEPTION 'lifetime_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'lifetime must be a span of time from 1 minute to 24 hours.', HINT = 'Omit it for one hour.';
    END IF;
    PERFORM mqtt.check_new_credential(v_organization.topic_prefix, NULL, create_browser_login.subscribe_filters, NULL, NULL, NULL, NULL);
    PERFORM mqtt.end_browser_logins(v_organization.id, v_member_id, (SELECT c.max_browser_logins - 1 FROM mqtt.configuration AS c));
    PERFORM mqtt.require_login_room(v_organization.id);
    -- Only hashes reach this statement: were it to fail, no log could show the password.
    INSERT INTO mqtt.mqtt_credentials (
        organization_id, integration_id, member_id, username, client_id, topic_prefix, can_publish, subscribe_filters,
        secret_salt, secret_hash, mosquitto_hash, bcrypt_hash, created_at, expires_at
    ) VALUES (
        v_organization.id, v_integration.id, v_member_id, v_username, v_username, v_organization.topic_prefix,
        false, create_browser_login.subscribe_filters, v_salt, v_verifier, v_mosquitto_hash, v_bcrypt_hash,
        clock_timestamp(), clock_timestamp() + create_browser_login.lifetime
    )
    RETURNING * INTO v_credential;
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN mqtt.credential_json(v_credential) || jsonb_build_object('password', v_password);
END;
$$;
COMMENT ON FUNCTION api.create_browser_login(uuid, text [], interval, uuid) IS
$md$Create a short-lived login for your own browser

With it, a page subscribes at the hosted broker to what its user may read anyway; it cannot publish. The answer is the only place that ever
shows `password`. The login works with the answer's client_id, for one connection at a time: create one for each tab. It ends after lifetime
(1 minute to 24 hours), when you leave the organization, when an admin revokes it, or when you have created as many newer ones as one member
may have. subscribe_filters narrow it to some of the organization's topics.
Errors: 400 `filter_invalid`, `lifetime_invalid`, `not_hosted`; 403 `member_required`; 404 `integration_not_found`; 409 `login_limit_reached`.
Answer: {"...": "mqtt.credential_json", "password": "text"}$md$;
GRANT EXECUTE ON FUNCTION api.create_browser_login(uuid, text [], interval, uuid) TO authenticated, service_role;
COMMIT;
