-- Deploy topicbase:api/generate_mqtt_credentials to pg
-- requires: base/passwords
-- requires: integrations/credential_rules
-- requires: integrations/find_device
-- requires: tables/log_activity
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.credential_prefix(
    topic_prefix text, integration mqtt.device_integrations, organization mqtt.organizations, external_id text
) RETURNS text
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A credential that is bound to a device gets that device's topics, where the topic pattern gives those a prefix of their own.
    v_prefix CONSTANT text := coalesce(
        topic_prefix,
        mqtt.device_prefix(
            coalesce(integration.settings ->> 'topic_pattern', mqtt.default_topic_pattern()), organization.topic_prefix, credential_prefix.external_id
        ),
        organization.topic_prefix
    );
    v_error CONSTANT text := mqtt.topic_prefix_reason(v_prefix);
BEGIN
    IF v_error IS NOT NULL THEN
        RAISE EXCEPTION 'topic_prefix_invalid' USING ERRCODE = 'PT400', DETAIL = v_error, HINT = 'Omit it to use the organization''s own prefix.';
    END IF;
    IF integration.integration_type = 'mqtt_hosted' AND v_prefix <> organization.topic_prefix
        AND NOT mqtt.topic_is_under(v_prefix, organization.topic_prefix) THEN
        RAISE EXCEPTION 'topic_not_allowed' USING
            ERRCODE = 'PT403',
            DETAIL = format('At the hosted broker, topic_prefix must be %s or lie below it.', organization.topic_prefix),
            HINT = 'Other prefixes belong to other organizations.';
    END IF;
    RETURN v_prefix;
END;
$$;
COMMENT ON FUNCTION mqtt.credential_prefix(text, mqtt.device_integrations, mqtt.organizations, text) IS
'The topic prefix of a new credential: the one asked for, or that of the device with this external id, or the organization''s. Raises PT400 topic_prefix_invalid or PT403 topic_not_allowed.';

CREATE OR REPLACE FUNCTION mqtt.check_new_credential(
    topic_prefix text, publish_filters text [], subscribe_filters text [], client_id text, expires_at timestamptz, max_per_second numeric, max_burst integer
) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_error CONSTANT text := coalesce(mqtt.filters_reason(publish_filters, topic_prefix), mqtt.filters_reason(subscribe_filters, topic_prefix));
BEGIN
    IF v_error IS NOT NULL THEN
        RAISE EXCEPTION 'filter_invalid' USING ERRCODE = 'PT400', DETAIL = v_error, HINT = 'Write filters in full, including the prefix.';
    END IF;
    IF client_id !~ '^[A-Za-z0-9_.-]{1,64}$' THEN
        RAISE EXCEPTION 'client_id_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'client_id must be 1 to 64 characters of A-Z, a-z, 0-9, _ . and -.', HINT = 'Omit it to have one generated.';
    END IF;
    IF expires_at <= now() THEN
        RAISE EXCEPTION 'expires_at_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'expires_at is in the past.', HINT = 'Omit it for a credential that does not expire.';
    END IF;
    IF least(max_per_second, max_burst) <= 0 OR max_per_second IN ('NaN', 'Infinity') THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'max_per_second and max_burst must be more than 0.', HINT = 'Omit them for a credential without limits of its own.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.check_new_credential(text, text [], text [], text, timestamptz, numeric, integer) IS
'Raises PT400 filter_invalid, client_id_invalid, expires_at_invalid or limit_invalid unless a credential with that prefix may have the rest.';

CREATE OR REPLACE FUNCTION api.generate_mqtt_credentials(
    integration_id uuid, device_id text DEFAULT NULL, client_id text DEFAULT NULL, topic_prefix text DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL, can_publish boolean DEFAULT true, can_subscribe boolean DEFAULT true,
    publish_filters text [] DEFAULT NULL, subscribe_filters text [] DEFAULT NULL, organization_id uuid DEFAULT NULL,
    max_per_second numeric DEFAULT NULL, max_burst integer DEFAULT NULL, external_id text DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(
        generate_mqtt_credentials.integration_id, generate_mqtt_credentials.organization_id, true
    );
    v_organization mqtt.organizations := mqtt.require_organization(v_integration.organization_id);
    v_device mqtt.devices;
    v_prefix text;
    v_username text := left(v_organization.slug, 24) || '_' || encode(mqtt.random_bytes(8), 'hex');
    v_password text := mqtt.random_password();
    v_salt bytea := mqtt.random_bytes(16);
    v_verifier bytea := mqtt.password_verifier(v_salt, v_password);
    v_mosquitto_hash text := mqtt.mosquitto_password_hash(v_password);
    v_bcrypt_hash text := mqtt.bcrypt_password_hash(v_password);
    v_credential mqtt.mqtt_credentials;
BEGIN
    IF coalesce(generate_mqtt_credentials.device_id, generate_mqtt_credentials.external_id) IS NOT NULL THEN
        v_device := mqtt.find_device(
            generate_mqtt_credentials.device_id, generate_mqtt_credentials.external_id, v_integration.id, v_integration.organization_id
        );
    END IF;
    v_prefix := mqtt.credential_prefix(generate_mqtt_credentials.topic_prefix, v_integration, v_organization, v_device.external_id);
    PERFORM mqtt.check_new_credential(
        v_prefix, generate_mqtt_credentials.publish_filters, generate_mqtt_credentials.subscribe_filters, generate_mqtt_credentials.client_id,
        generate_mqtt_credentials.expires_at, generate_mqtt_credentials.max_per_second, generate_mqtt_credentials.max_burst
    );
    PERFORM mqtt.require_login_room(v_integration.organization_id);
    -- Only hashes reach this statement: were it to fail, no log could show the password.
    INSERT INTO mqtt.mqtt_credentials (
        organization_id, integration_id, device_id, username, client_id, topic_prefix, can_publish, can_subscribe,
        publish_filters, subscribe_filters, secret_salt, secret_hash, mosquitto_hash, bcrypt_hash, expires_at,
        max_per_second, max_burst
    ) VALUES (
        v_integration.organization_id, v_integration.id, v_device.id, v_username,
        coalesce(generate_mqtt_credentials.client_id, v_username), v_prefix,
        coalesce(generate_mqtt_credentials.can_publish, true), coalesce(generate_mqtt_credentials.can_subscribe, true),
        generate_mqtt_credentials.publish_filters, generate_mqtt_credentials.subscribe_filters,
        v_salt, v_verifier, v_mosquitto_hash, v_bcrypt_hash, nullif(generate_mqtt_credentials.expires_at, 'infinity'),
        generate_mqtt_credentials.max_per_second, generate_mqtt_credentials.max_burst
    )
    RETURNING * INTO v_credential;
    PERFORM mqtt.log_activity(
        v_credential.organization_id, v_credential.integration_id, 'credential_generated',
        details => jsonb_build_object(
            'credential_id', v_credential.id, 'username', v_username, 'topic_prefix', v_prefix, 'user_id', mqtt.current_user_id()
        )
    );
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN mqtt.credential_json(v_credential) || jsonb_build_object('password', v_password);
END;
$$;
COMMENT ON FUNCTION api.generate_mqtt_credentials(uuid, text, text, text, timestamptz, boolean, boolean, text [], text [], uuid, numeric, integer, text) IS
$md$Generate a device's login

The answer is the only place that ever shows `password` (32 URL-safe characters). It also has username, client_id, broker_url, topic_prefix
and the rest of the credential. The device may use the topics below topic_prefix, which by default is the organization's prefix. A credential
that is bound to a device (by device_id, its id or external id, or by external_id) gets that device's prefix instead. publish_filters and
subscribe_filters narrow the topics further; can_publish and can_subscribe switch a direction off; max_per_second and max_burst limit what
the device may send over HTTP. At the hosted broker, the login works with the answer's client_id and with no other: it is the one that you
ask for, unless another organization has it there; then your slug and a dot are put before it.
Errors: 400 `topic_prefix_invalid`, `filter_invalid`, `client_id_invalid`, `expires_at_invalid`, `limit_invalid`, `argument_conflict`;
403 `admin_required`, `topic_not_allowed`; 404 `integration_not_found`, `device_not_found`; 409 `login_limit_reached`.
Answer: {"...": "mqtt.credential_json", "password": "text"}$md$;
GRANT EXECUTE ON FUNCTION api.generate_mqtt_credentials(uuid, text, text, text, timestamptz, boolean, boolean, text [], text [], uuid, numeric, integer, text)
TO authenticated, service_role;
COMMIT;
