-- Deploy topicbase:brokers/emqx_auth to pg
-- requires: brokers/access_rules
-- requires: brokers/logins
-- requires: ingest/wrong_passwords
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.emqx_authenticate(username text, password text, clientid text) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_broker mqtt.broker_keys := mqtt.broker_login();
    v_credential mqtt.mqtt_credentials := mqtt.broker_credential(v_broker, emqx_authenticate.username);
    v_fits boolean := mqtt.password_matches(v_credential, emqx_authenticate.password);
BEGIN
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    -- Always 200 with a body: EMQX treats 204 as allow, and on any error continues with its next authenticator.
    IF v_broker.id IS NULL THEN
        RETURN '{"result": "deny", "is_superuser": false, "reason": "broker_unknown"}'::json;
    ELSIF NOT v_fits THEN
        PERFORM mqtt.count_wrong_password(emqx_authenticate.username);
    END IF;
    IF (v_fits AND emqx_authenticate.clientid = ANY (mqtt.client_ids(v_credential)) AND mqtt.is_heard(v_credential)) IS NOT TRUE THEN
        RETURN '{"result": "deny", "is_superuser": false}'::json;
    END IF;
    IF emqx_authenticate.clientid = v_credential.client_id THEN
        PERFORM mqtt.note_broker_login(v_credential);
    END IF;
    IF v_credential.expires_at IS NULL THEN
        RETURN '{"result": "allow", "is_superuser": false}'::json;
    END IF;
    RETURN json_build_object(
        'result', 'allow', 'is_superuser', false, 'expire_at', floor(extract(EPOCH FROM v_credential.expires_at))::bigint
    );
END;
$$;
COMMENT ON FUNCTION api.emqx_authenticate(text, text, text) IS
$md$EMQX asks whether a device may log in

For EMQX's HTTP authenticator, with a key of `generate_broker_key` in its `authorization` header. Always returns 200
`{"result": "allow" or "deny", "is_superuser": false}`, with `expire_at` (Unix seconds) for a credential that expires: EMQX 5.8 and newer then end
the session at that time. The result is `deny` until the broker has granted the bridge's first subscription for the integration. If the key is
wrong, `reason` is `broker_unknown`.
Answer: {"result": "allow|deny", "is_superuser": "boolean", "reason?": "=broker_unknown", "expire_at?": "integer"}$md$;
GRANT EXECUTE ON FUNCTION api.emqx_authenticate(text, text, text) TO anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION api.emqx_authorize(
    username text, topic text, action text, clientid text DEFAULT NULL, qos text DEFAULT NULL, retain text DEFAULT NULL
) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_broker mqtt.broker_keys := mqtt.broker_login();
    v_credential mqtt.mqtt_credentials := mqtt.broker_credential(v_broker, emqx_authorize.username);
BEGIN
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    IF v_broker.id IS NULL THEN
        RETURN '{"result": "deny", "reason": "broker_unknown"}'::json;
    ELSIF coalesce(emqx_authorize.clientid, v_credential.client_id) = ANY (mqtt.client_ids(v_credential))
        AND mqtt.access_rule(v_credential, emqx_authorize.action, emqx_authorize.topic) IS NOT NULL
        AND (emqx_authorize.action <> 'publish' OR mqtt.is_heard(v_credential)) THEN
        RETURN '{"result": "allow"}'::json;
    END IF;
    RETURN '{"result": "deny"}'::json;
END;
$$;
COMMENT ON FUNCTION api.emqx_authorize(text, text, text, text, text, text) IS
$md$EMQX asks whether a device may publish or subscribe to a topic

For EMQX's HTTP authorizer, with a key of `generate_broker_key` in its `authorization` header. action is `publish` or `subscribe`; the filter of
a subscription must lie within one of the credential's filters. Always returns 200 `{"result": "allow" or "deny"}`, never `ignore`. If the key is
wrong, `reason` is `broker_unknown`.
Answer: {"result": "allow|deny", "reason?": "=broker_unknown"}$md$;
GRANT EXECUTE ON FUNCTION api.emqx_authorize(text, text, text, text, text, text) TO anon, authenticated, service_role;
COMMIT;
