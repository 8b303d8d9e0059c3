-- Deploy topicbase:api/generate_mqtt_credentials to pg
-- requires: base/passwords
-- requires: integrations/broker_url
-- requires: integrations/credential_rules
-- requires: tables/log_activity
-- requires: topics/patterns
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.generate_mqtt_credentials(
    integration_id uuid, device_id text DEFAULT NULL, client_id text DEFAULT NULL, topic_prefix text DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL, can_publish boolean DEFAULT true, can_subscribe boolean DEFAULT true,
    publish_filters text [] DEFAULT NULL, subscribe_filters text [] DEFAULT NULL, organization_id uuid DEFAULT NULL,
    max_per_second numeric DEFAULT NULL, max_burst integer DEFAULT NULL
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
    v_prefix text := generate_mqtt_credentials.topic_prefix;
    v_fault text;
    v_username text := left(v_organization.slug, 24) || '_' || encode(mqtt.random_bytes(8), 'hex');
    v_password text := mqtt.random_password();
    v_salt bytea := mqtt.random_bytes(16);
    v_verifier bytea := mqtt.password_verifier(v_salt, v_password);
    v_mosquitto_hash text := mqtt.mosquitto_password_hash(v_password);
    v_bcrypt_hash text := mqtt.bcrypt_password_hash(v_password);
    v_credential mqtt.mqtt_credentials;
BEGIN
    IF generate_mqtt_credentials.device_id IS NOT NULL THEN
        v_device := mqtt.resolve_device(v_integration.organization_id, v_integration.id, generate_mqtt_credentials.device_id);
        -- What is bound to a device gets that device's topics, where its topics have a prefix of their own.
        v_prefix := coalesce(v_prefix, mqtt.device_prefix(
            coalesce(v_integration.settings ->> 'topic_pattern', mqtt.default_topic_pattern()), v_organization.topic_prefix, v_device.external_id
        ));
    END IF;
    v_prefix := coalesce(v_prefix, v_organization.topic_prefix);
    v_fault := mqtt.topic_prefix_error(v_prefix);
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'topic_prefix_invalid' USING ERRCODE = 'PT400', DETAIL = v_fault, HINT = 'Leave it out for the organization''s own.';
    END IF;
    IF v_integration.integration_type = 'mqtt_hosted' AND v_prefix <> v_organization.topic_prefix
        AND NOT mqtt.topic_is_under(v_prefix, v_organization.topic_prefix) THEN
        RAISE EXCEPTION 'topic_not_allowed' USING
            ERRCODE = 'PT403',
            DETAIL = format('At the hosted broker a prefix is %s or lies below it.', v_organization.topic_prefix),
            HINT = 'Other prefixes belong to other organizations.';
    END IF;
    v_fault := coalesce(
        mqtt.filters_error(generate_mqtt_credentials.publish_filters, v_prefix), mqtt.filters_error(generate_mqtt_credentials.subscribe_filters, v_prefix)
    );
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'filter_invalid' USING ERRCODE = 'PT400', DETAIL = v_fault, HINT = 'Filters are written in full, prefix included.';
    END IF;
    IF generate_mqtt_credentials.client_id !~ '^[A-Za-z0-9_.-]{1,64}$' THEN
        RAISE EXCEPTION 'client_id_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'client_id is 1 to 64 of A-Z, a-z, 0-9, _ . and -.', HINT = 'Leave it out to have one made.';
    END IF;
    IF generate_mqtt_credentials.expires_at <= now() THEN
        RAISE EXCEPTION 'expires_at_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'expires_at lies in the past.', HINT = 'Leave it out for a credential that does not expire.';
    END IF;
    IF least(generate_mqtt_credentials.max_per_second, generate_mqtt_credentials.max_burst) <= 0
        OR generate_mqtt_credentials.max_per_second IN ('NaN', 'Infinity') THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'max_per_second and max_burst are more than 0.', HINT = 'Leave them out for no limit of its own.';
    END IF;
    -- Only hashes reach this statement: were it to fail, no log could show the password.
    INSERT INTO mqtt.mqtt_credentials (
        organization_id, integration_id, device_id, username, client_id, topic_prefix, broker_url, can_publish, can_subscribe,
        publish_filters, subscribe_filters, secret_salt, secret_hash, mosquitto_hash, bcrypt_hash, expires_at,
        max_per_second, max_burst
    ) VALUES (
        v_integration.organization_id, v_integration.id, v_device.id, v_username,
        coalesce(generate_mqtt_credentials.client_id, v_username), v_prefix, mqtt.broker_url(v_integration),
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
COMMENT ON FUNCTION api.generate_mqtt_credentials(uuid, text, text, text, timestamptz, boolean, boolean, text [], text [], uuid, numeric, integer) IS
$md$Generate a device's login

The answer is the only place that ever shows `password` (32 URL-safe characters); with it come username, client_id, broker_url,
topic_prefix and the rest of the row. The device may use the topics below topic_prefix: the organization's, unless another is asked for
or the credential is bound to a device (device_id: its id or its external id), which then gets that device's. publish_filters and
subscribe_filters narrow it further; can_publish and can_subscribe switch a direction off; max_per_second and
max_burst limit what it may send over HTTP.
Errors: 400 `topic_prefix_invalid`, `filter_invalid`, `client_id_invalid`, `expires_at_invalid`, `limit_invalid`; 403 `admin_required`, `topic_not_allowed`;
404 `integration_not_found`, `device_not_found`.$md$;
GRANT EXECUTE ON FUNCTION api.generate_mqtt_credentials(uuid, text, text, text, timestamptz, boolean, boolean, text [], text [], uuid, numeric, integer)
TO authenticated, service_role;
COMMIT;
