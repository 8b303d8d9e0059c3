-- Deploy topicbase:integrations/api_keys to pg
-- requires: tables/api_keys
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.api_key_claims(key text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What has not the form of a key is not looked up.
    IF key !~ '^tbk_[A-Za-z0-9_-]{32}$' THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT jsonb_strip_nulls(jsonb_build_object(
            'role', 'authenticated', 'sub', k.id, 'exp', floor(extract(EPOCH FROM k.expires_at))::bigint,
            'api_key', jsonb_build_object('organization_id', k.organization_id, 'scope', k.scope, 'integration_ids', k.integration_ids, 'last_used_at', k.last_used_at)
        ))
        FROM mqtt.api_keys AS k
        WHERE k.key_hash = sha256(convert_to(key, 'UTF8')) AND (k.expires_at > now()) IS NOT FALSE
    );
END;
$$;
COMMENT ON FUNCTION mqtt.api_key_claims(text) IS
'The claims that a request with this API key has, as those of a JWT, to be put into request.jwt.claims with the role in them; null for a key that is not valid now. sub is the id of the key; exp is there if it expires.';

CREATE OR REPLACE FUNCTION mqtt.call_scope(path text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name CONSTANT text := substring(path FROM '^/rpc/(\w+)$');
BEGIN
    IF path ~ '^/\w*$' THEN
        RETURN 'read';
    END IF;
    RETURN CASE
        WHEN v_name IN ('get_mqtt_publish_receipts', 'get_mqtt_request') THEN 'read'
        WHEN v_name IN ('mqtt_publish', 'cancel_mqtt_publish', 'sync_device') THEN 'publish'
        WHEN v_name ~ '_api_keys?$|^(mqtt_ingest|emqx_|rabbitmq_)|_organization_(member|invitation)s?$'
            OR v_name IN ('create_organization', 'delete_organization', 'create_browser_login', 'create_stream_ticket', 'get_system_status') THEN NULL
        ELSE (
            SELECT CASE WHEN bool_or(p.provolatile = 'v') THEN 'admin' WHEN count(*) > 0 THEN 'read' END
            FROM pg_catalog.pg_proc AS p
            WHERE p.pronamespace = 'api'::regnamespace AND p.proname = v_name AND has_function_privilege('authenticated', p.oid, 'execute')
        )
    END;
END;
$$;
COMMENT ON FUNCTION mqtt.call_scope(text) IS
'The scope that an API key needs for a request of this path: read for views and calls that change nothing, admin for whatever else is not named here; null where a key is not enough, as for what users, devices or brokers do themselves.';

CREATE OR REPLACE FUNCTION mqtt.note_api_key(claims jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_note CONSTANT text := concat_ws(' ', claims ->> 'sub', date_trunc('hour', now()));
BEGIN
    -- Most requests are read-only and cannot write it. Once an hour for each key and session, since a NOTIFY takes a lock at commit that all share.
    IF (claims #>> '{api_key,last_used_at}')::timestamptz >= date_trunc('hour', now()) OR pg_is_in_recovery()
        OR current_setting('topicbase.noted_api_key', true) = v_note THEN
        RETURN;
    END IF;
    PERFORM pg_notify('topicbase', 'api_key ' || (claims ->> 'sub'));
    PERFORM set_config('topicbase.noted_api_key', v_note, false);
END;
$$;
COMMENT ON FUNCTION mqtt.note_api_key(jsonb) IS 'Tells the bridges that a key was used, if that was not known to the hour: bridge.note_api_keys writes it.';

CREATE OR REPLACE FUNCTION mqtt.use_api_key(key text, path text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_scopes CONSTANT text [] := '{read,publish,admin}';
    v_claims CONSTANT jsonb := mqtt.api_key_claims(key);
    v_scope CONSTANT text := mqtt.call_scope(path);
BEGIN
    IF v_claims IS NULL THEN
        RAISE EXCEPTION 'api_key_invalid' USING
            ERRCODE = 'PT401', DETAIL = 'X-API-Key is no key that is valid now.', HINT = 'An admin of the organization makes keys with create_api_key.';
    ELSIF v_scope IS NULL THEN
        RAISE EXCEPTION 'user_required' USING
            ERRCODE = 'PT403', DETAIL = 'An API key may not do this.', HINT = 'Send a user''s token, Authorization: Bearer.';
    ELSIF array_position(v_scopes, v_claims #>> '{api_key,scope}') < array_position(v_scopes, v_scope) THEN
        RAISE EXCEPTION 'scope_insufficient' USING
            ERRCODE = 'PT403',
            DETAIL = format('The key''s scope is %s, and the call needs %s.', v_claims #>> '{api_key,scope}', v_scope),
            HINT = 'An admin of the organization makes keys with create_api_key.';
    END IF;
    PERFORM mqtt.note_api_key(v_claims);
    PERFORM set_config('request.jwt.claims', v_claims::text, true);
    PERFORM set_config('role', 'authenticated', true);
END;
$$;
COMMENT ON FUNCTION mqtt.use_api_key(text, text) IS
'Lets the rest of the transaction run with what an API key may do: role authenticated, with the claims of the key. Raises PT401 api_key_invalid, PT403 user_required or scope_insufficient.';
GRANT EXECUTE ON FUNCTION mqtt.api_key_claims(text), mqtt.call_scope(text), mqtt.note_api_key(jsonb), mqtt.use_api_key(text, text) TO anon;
COMMIT;
