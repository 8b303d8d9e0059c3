-- Deploy topicbase:api/mqtt_credentials to pg
-- requires: base/passwords
-- requires: integrations/credential_rules
-- requires: tables/log_activity
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.get_mqtt_credentials(
    integration_id uuid DEFAULT NULL, credential_id uuid DEFAULT NULL, organization_id uuid DEFAULT NULL
) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF get_mqtt_credentials.integration_id IS NOT NULL THEN
        PERFORM mqtt.require_integration(get_mqtt_credentials.integration_id, get_mqtt_credentials.organization_id, true);
    ELSIF get_mqtt_credentials.organization_id IS NOT NULL THEN
        PERFORM mqtt.require_organization(get_mqtt_credentials.organization_id, true);
    END IF;
    RETURN QUERY
    SELECT mqtt.credential_json(c)
    FROM mqtt.mqtt_credentials AS c
    WHERE c.integration_id = coalesce(get_mqtt_credentials.integration_id, c.integration_id)
        AND c.organization_id = coalesce(get_mqtt_credentials.organization_id, c.organization_id)
        AND c.id = coalesce(get_mqtt_credentials.credential_id, c.id)
        AND (mqtt.is_operator() OR c.organization_id = ANY (mqtt.current_organization_ids(true)))
        AND mqtt.key_allows(c.integration_id)
    ORDER BY c.created_at DESC, c.id;
END;
$$;
COMMENT ON FUNCTION api.get_mqtt_credentials(uuid, uuid, uuid) IS
$md$List device logins

Newest first, including revoked and expired ones (see `status`): all that you administer, those of one integration or organization, or
the one that credential_id names. Passwords are never shown.
Errors: 403 `admin_required`; 404 `integration_not_found`, `organization_not_found`.
Answer: "mqtt.credential_json"$md$;
GRANT EXECUTE ON FUNCTION api.get_mqtt_credentials(uuid, uuid, uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.rotate_mqtt_credentials(credential_id uuid, grace interval DEFAULT '0') RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_credential mqtt.mqtt_credentials := mqtt.require_credential(rotate_mqtt_credentials.credential_id);
    v_password text := mqtt.random_password();
    v_salt bytea := mqtt.random_bytes(16);
    v_verifier bytea := mqtt.password_verifier(v_salt, v_password);
    v_mosquitto_hash text := mqtt.mosquitto_password_hash(v_password);
    v_bcrypt_hash text := mqtt.bcrypt_password_hash(v_password);
BEGIN
    IF v_credential.revoked_at IS NOT NULL THEN
        RAISE EXCEPTION 'credential_revoked' USING
            ERRCODE = 'PT409', DETAIL = 'A revoked credential stays revoked.', HINT = 'generate_mqtt_credentials generates a new one.';
    END IF;
    IF (rotate_mqtt_credentials.grace BETWEEN '0' AND '30 days') IS NOT TRUE THEN
        RAISE EXCEPTION 'grace_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'grace must be a span of time from 0 to 30 days, such as "1 hour" or 3600 (seconds).',
            HINT = 'Omit it to end the old password at once.';
    END IF;
    UPDATE mqtt.mqtt_credentials AS c
    SET secret_salt = v_salt,
        secret_hash = v_verifier,
        mosquitto_hash = v_mosquitto_hash,
        bcrypt_hash = v_bcrypt_hash,
        rotated_at = clock_timestamp(),
        previous_salt = CASE WHEN rotate_mqtt_credentials.grace > '0' THEN c.secret_salt END,
        previous_hash = CASE WHEN rotate_mqtt_credentials.grace > '0' THEN c.secret_hash END,
        previous_until = CASE WHEN rotate_mqtt_credentials.grace > '0' THEN now() + rotate_mqtt_credentials.grace END
    WHERE c.id = v_credential.id
    RETURNING c.* INTO v_credential;
    PERFORM mqtt.log_activity(
        v_credential.organization_id, v_credential.integration_id, 'credential_rotated',
        details => jsonb_build_object(
            'credential_id', v_credential.id, 'username', v_credential.username, 'previous_until', v_credential.previous_until,
            'user_id', mqtt.current_user_id()
        )
    );
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN mqtt.credential_json(v_credential) || jsonb_build_object('password', v_password);
END;
$$;
COMMENT ON FUNCTION api.rotate_mqtt_credentials(uuid, interval) IS
$md$Give a device's login a new password

The answer is the only place that ever shows it. The old password ends at once, or continues to work for grace (up to 30 days): over HTTP, at
the hosted Mosquitto and at brokers that ask over HTTP. Sessions that logged in with it are cut when it ends. A broker that reads hashes from
the database has only the new one: a device must log in there with the new password from now on.
Errors: 400 `grace_invalid`; 403 `admin_required`; 404 `credential_not_found`; 409 `credential_revoked`.
Answer: {"...": "mqtt.credential_json", "password": "text"}$md$;
GRANT EXECUTE ON FUNCTION api.rotate_mqtt_credentials(uuid, interval) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.revoke_mqtt_credentials(credential_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_credential mqtt.mqtt_credentials := mqtt.require_credential(revoke_mqtt_credentials.credential_id);
BEGIN
    IF v_credential.revoked_at IS NULL THEN
        UPDATE mqtt.mqtt_credentials AS c
        SET revoked_at = clock_timestamp(), previous_salt = NULL, previous_hash = NULL, previous_until = NULL
        WHERE c.id = v_credential.id
        RETURNING c.* INTO v_credential;
        PERFORM mqtt.log_activity(
            v_credential.organization_id, v_credential.integration_id, 'credential_revoked',
            details => jsonb_build_object(
                'credential_id', v_credential.id, 'username', v_credential.username, 'user_id', mqtt.current_user_id()
            )
        );
    END IF;
    RETURN mqtt.credential_json(v_credential);
END;
$$;
COMMENT ON FUNCTION api.revoke_mqtt_credentials(uuid) IS
$md$Revoke a device's login

Revocation is final and takes effect at the next request; revoking again changes nothing. Returns the credential.
Errors: 403 `admin_required`; 404 `credential_not_found`.
Answer: "mqtt.credential_json"$md$;
GRANT EXECUTE ON FUNCTION api.revoke_mqtt_credentials(uuid) TO authenticated, service_role;
COMMIT;
