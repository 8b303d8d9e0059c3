-- Deploy topicbase:ingest/device_login to pg
-- requires: base/configuration
-- requires: base/refuse_for_now
-- requires: ingest/device_session
-- requires: ingest/queue_limit
-- requires: tables/mqtt_credentials
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.refuse_login(slug text, detail text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE slug
        WHEN 'publish_not_allowed' THEN
            RAISE EXCEPTION 'publish_not_allowed' USING
                ERRCODE = 'PT403',
                DETAIL = 'This credential may only subscribe.',
                HINT = 'An admin of the organization can generate one that may publish.';
        WHEN 'integration_inactive' THEN
            RAISE EXCEPTION 'integration_inactive' USING
                ERRCODE = 'PT403',
                DETAIL = 'The integration of this credential is switched off.',
                HINT = 'An admin of the organization can switch it on again.';
        WHEN 'queue_paused' THEN
            -- Not 503, at which PostgREST reconnects to the database and sends a Retry-After of its own.
            PERFORM mqtt.refuse_for_now('429', slug, detail, 30);
    END CASE;
END;
$$;
COMMENT ON FUNCTION mqtt.refuse_login(text, text) IS 'Raises the fault that mqtt.device_login found, with its HTTP status and hint.';

CREATE OR REPLACE FUNCTION mqtt.basic_login(headers jsonb) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN headers ->> 'authorization' ~ '^[Bb][Aa][Ss][Ii][Cc] +([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$'
            THEN encode(decode(ltrim(substr(headers ->> 'authorization', 6)), 'base64'), 'escape')
    END;
END;
COMMENT ON FUNCTION mqtt.basic_login(jsonb) IS
'username:password from Authorization: Basic (RFC 7617), null without it. Bytes that are no UTF-8 come out escaped and so match no credential.';

CREATE OR REPLACE FUNCTION mqtt.request_session() RETURNS SETOF mqtt.device_session
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    -- An unknown username is hashed like a wrong password.
    SELECT
        c.id,
        c.organization_id,
        c.integration_id,
        c.topic_prefix,
        c.publish_filters,
        least(o.max_payload_bytes, k.max_payload_bytes),
        k.max_batch_messages,
        c.max_per_second,
        c.max_burst,
        o.max_per_second,
        o.max_burst,
        o.max_bytes_per_second,
        CASE
            WHEN (
                sha256(coalesce(c.secret_salt, '\x00000000000000000000000000000000') || l.password) = c.secret_hash
                OR (c.previous_until > now() AND sha256(c.previous_salt || l.password) = c.previous_hash)
            ) IS NOT TRUE
            OR c.revoked_at IS NOT NULL OR c.expires_at <= now() OR c.client_id IS DISTINCT FROM l.client_id THEN 'invalid_credentials'
            WHEN NOT c.can_publish THEN 'publish_not_allowed'
            WHEN i.status = 'inactive' THEN 'integration_inactive'
            WHEN coalesce(k.ingest_pause, o.ingest_pause) IS NOT NULL THEN 'queue_paused'
            -- Looked at here too, so that it holds while nobody runs mqtt.check_capacity.
            WHEN CASE WHEN o.max_queued IS NOT NULL THEN mqtt.is_queue_full(o.id, o.max_queued) END THEN 'queue_paused'
        END,
        coalesce(k.ingest_pause, o.ingest_pause, format('More than %s messages of the organization wait to be processed.', o.max_queued)),
        l.username
    FROM (
        SELECT
            CASE WHEN b.basic IS NULL THEN b.headers ->> 'x-username' ELSE split_part(b.basic, ':', 1) END AS username,
            convert_to(
                coalesce(CASE WHEN b.basic IS NULL THEN b.headers ->> 'x-password' ELSE substr(b.basic, strpos(b.basic, ':') + 1) END, ''), 'UTF8'
            ) AS password,
            b.headers ->> 'x-client-id' AS client_id
        FROM (
            SELECT
                h.headers,
                mqtt.basic_login(h.headers) AS basic
            FROM (SELECT nullif(current_setting('request.headers', true), '')::jsonb AS headers OFFSET 0) AS h
            OFFSET 0
        ) AS b
    ) AS l
    CROSS JOIN mqtt.configuration AS k
    LEFT JOIN mqtt.mqtt_credentials AS c ON c.username = l.username
    LEFT JOIN mqtt.device_integrations AS i ON i.id = c.integration_id
    LEFT JOIN mqtt.organizations AS o ON o.id = c.organization_id;
END;
COMMENT ON FUNCTION mqtt.request_session() IS
'The device behind this HTTP request, by its headers: Authorization: Basic, or X-Username and X-Password, with X-Client-ID; always one row. Where fault is set it may not send, and whoever asks answers with mqtt.answer_wrong_login. A part of the statement that asks, since it runs for every message.';

CREATE OR REPLACE FUNCTION mqtt.device_login() RETURNS mqtt.device_session
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_session mqtt.device_session;
    v_refused mqtt.device_session;
BEGIN
    SELECT s.* INTO v_session FROM mqtt.request_session() AS s;
    IF v_session.fault = 'invalid_credentials' THEN
        -- The caller answers it with mqtt.answer_wrong_login: raised, it could not be counted.
        v_refused.fault := v_session.fault;
        v_refused.username := v_session.username;
        RETURN v_refused;
    ELSIF v_session.fault IS NOT NULL THEN
        PERFORM mqtt.refuse_login(v_session.fault, v_session.fault_detail);
    END IF;
    RETURN v_session;
END;
$$;
COMMENT ON FUNCTION mqtt.device_login() IS
'The device behind this HTTP request, by its headers: Authorization: Basic, or X-Username and X-Password, with X-Client-ID. Where it is none (unknown, wrong, expired, revoked) only fault and username are set, and the caller answers with mqtt.answer_wrong_login. Raises 403 publish_not_allowed, 403 integration_inactive, 429 queue_paused.';
COMMIT;
