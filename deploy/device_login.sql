-- Deploy topicbase:device_login to pg
-- requires: quotas
BEGIN;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.device_session AS (
    credential_id uuid,
    organization_id uuid,
    integration_id uuid,
    topic_prefix text,
    publish_filters text [],
    max_payload_bytes integer,
    max_batch_messages integer,
    credential_rate numeric,
    credential_burst integer,
    organization_rate numeric,
    organization_burst integer
);
CREATE FUNCTION mqtt.device_login() RETURNS mqtt.device_session
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_headers json := nullif(current_setting('request.headers', true), '');
    v_basic text := v_headers ->> 'authorization';
    v_username text := v_headers ->> 'x-username';
    v_password text := v_headers ->> 'x-password';
    v_row record;
    v_is_valid boolean;
BEGIN
    -- RFC 7617. Bytes that are no UTF-8 come out escaped and so match no credential.
    IF v_basic ~ '^[Bb][Aa][Ss][Ii][Cc] +([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$' THEN
        v_basic := encode(decode(ltrim(substr(v_basic, 6)), 'base64'), 'escape');
        v_username := split_part(v_basic, ':', 1);
        v_password := substr(v_basic, length(v_username) + 2);
    END IF;
    SELECT
        c.id, c.organization_id, c.integration_id, c.topic_prefix, c.publish_filters, c.can_publish, c.client_id,
        c.secret_salt, c.secret_hash, c.previous_salt, c.previous_hash, c.previous_until, c.expires_at, c.revoked_at,
        i.status, least(o.max_payload_bytes, k.max_payload_bytes) AS max_payload_bytes, k.max_batch_messages,
        c.max_per_second, c.max_burst, o.max_per_second AS organization_rate, o.max_burst AS organization_burst,
        k.intake_stop, o.intake_stop AS organization_stop
    INTO v_row
    FROM mqtt.mqtt_credentials AS c
    JOIN mqtt.device_integrations AS i ON i.id = c.integration_id
    JOIN mqtt.organizations AS o ON o.id = c.organization_id
    CROSS JOIN mqtt.configuration AS k
    WHERE c.username = v_username;
    -- An unknown username takes the same path, hashing included, as a wrong password.
    v_is_valid := sha256(coalesce(v_row.secret_salt, '\x00000000000000000000000000000000') || convert_to(coalesce(v_password, ''), 'UTF8'))
        = coalesce(v_row.secret_hash, '\x');
    IF NOT v_is_valid AND v_row.previous_until > now() THEN
        v_is_valid := sha256(v_row.previous_salt || convert_to(v_password, 'UTF8')) = v_row.previous_hash;
    END IF;
    IF v_is_valid IS NOT TRUE OR v_row.revoked_at IS NOT NULL OR v_row.expires_at <= now()
        OR v_row.client_id IS DISTINCT FROM (v_headers ->> 'x-client-id') THEN
        RAISE EXCEPTION 'invalid_credentials' USING
            ERRCODE = 'PT401',
            DETAIL = 'Username, password and client id do not name a credential that is valid now.',
            HINT = 'Send Authorization: Basic base64(username:password), or X-Username and X-Password, and X-Client-ID as they were issued.';
    END IF;
    IF NOT v_row.can_publish THEN
        RAISE EXCEPTION 'publish_not_allowed' USING
            ERRCODE = 'PT403',
            DETAIL = 'This credential may only subscribe.',
            HINT = 'An admin of the organization can generate one that may publish.';
    END IF;
    IF v_row.status = 'inactive' THEN
        RAISE EXCEPTION 'integration_inactive' USING
            ERRCODE = 'PT403',
            DETAIL = 'The integration of this credential is switched off.',
            HINT = 'An admin of the organization can switch it on again.';
    END IF;
    IF v_row.intake_stop IS NOT NULL THEN
        PERFORM mqtt.refuse_for_now('503', 'intake_stopped', v_row.intake_stop, 30);
    ELSIF v_row.organization_stop IS NOT NULL THEN
        PERFORM mqtt.refuse_for_now('429', 'queue_full', v_row.organization_stop, 10);
    END IF;
    RETURN ROW(
        v_row.id, v_row.organization_id, v_row.integration_id, v_row.topic_prefix, v_row.publish_filters,
        v_row.max_payload_bytes, v_row.max_batch_messages, v_row.max_per_second, v_row.max_burst, v_row.organization_rate, v_row.organization_burst
    );
END;
$$;
COMMENT ON FUNCTION mqtt.device_login() IS
'The device behind this HTTP request, by its headers: Authorization: Basic, or X-Username and X-Password, with X-Client-ID. Raises 401 invalid_credentials (one answer for unknown, wrong, expired, revoked), 403 publish_not_allowed, 403 integration_inactive, 429 queue_full, 503 intake_stopped.';
COMMIT;
