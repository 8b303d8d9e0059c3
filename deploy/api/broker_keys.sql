-- Deploy topicbase:api/broker_keys to pg
-- requires: base/passwords
-- requires: integrations/access
-- requires: tables/broker_keys
-- requires: tables/log_activity
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.generate_broker_key(
    name text, integration_id uuid DEFAULT NULL, vhost text DEFAULT '/', exchange text DEFAULT 'amq.topic'
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations;
    v_username text := 'broker_' || encode(mqtt.random_bytes(8), 'hex');
    v_key text := mqtt.random_password();
    v_salt bytea := mqtt.random_bytes(16);
    v_hash bytea := mqtt.password_verifier(v_salt, v_key);
    v_row mqtt.broker_keys;
BEGIN
    IF generate_broker_key.integration_id IS NOT NULL THEN
        v_integration := mqtt.require_integration(generate_broker_key.integration_id, admin_only => true);
    ELSIF NOT mqtt.is_operator() THEN
        RAISE EXCEPTION 'integration_required' USING
            ERRCODE = 'PT403',
            DETAIL = 'Only the operator can make a key for the hosted broker, which serves every organization.',
            HINT = 'Send the integration_id of the integration whose devices log in at your own broker.';
    END IF;
    IF (length(name) BETWEEN 1 AND 200) IS NOT TRUE THEN
        RAISE EXCEPTION 'name_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'name must be a string of 1 to 200 characters.', HINT = 'The name tells the keys of several brokers apart.';
    ELSIF (length(vhost) BETWEEN 1 AND 255) IS NOT TRUE THEN
        RAISE EXCEPTION 'vhost_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'vhost must be a string of 1 to 255 characters.', HINT = 'Omit it for RabbitMQ''s default virtual host, /.';
    ELSIF (length(exchange) BETWEEN 1 AND 255) IS NOT TRUE THEN
        RAISE EXCEPTION 'exchange_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'exchange must be a string of 1 to 255 characters.', HINT = 'Omit it for the MQTT plugin''s default, amq.topic.';
    END IF;
    INSERT INTO mqtt.broker_keys AS k (organization_id, integration_id, name, username, key_salt, key_hash, vhost, exchange)
    VALUES (
        v_integration.organization_id, v_integration.id, generate_broker_key.name, v_username, v_salt, v_hash,
        generate_broker_key.vhost, generate_broker_key.exchange
    )
    RETURNING k.* INTO v_row;
    IF v_integration.id IS NOT NULL THEN
        PERFORM mqtt.log_activity(
            v_integration.organization_id, v_integration.id, 'broker_key_generated',
            details => jsonb_build_object('key_id', v_row.id, 'name', v_row.name, 'user_id', mqtt.current_user_id())
        );
    END IF;
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN to_jsonb(v_row) - '{key_salt,key_hash}'::text [] || jsonb_build_object(
        'key', v_key,
        'authorization', 'Basic ' || translate(encode(convert_to(v_username || ':' || v_key, 'UTF8'), 'base64'), E'\n', '')
    );
END;
$$;
COMMENT ON FUNCTION api.generate_broker_key(text, uuid, text, text) IS
$md$Generate a key that a broker uses to ask about devices

For `rabbitmq_auth_*` and `emqx_*`. The answer is the only place that ever shows `key`; `authorization` is the complete header, with username
and key as HTTP Basic. Without integration_id (service_role only) the broker is the hosted one and may ask about the credentials of all
`mqtt_hosted` integrations; with it, about those of that integration only. vhost and exchange are RabbitMQ's.
Errors: 400 `name_invalid`, `vhost_invalid`, `exchange_invalid`; 403 `integration_required`, `admin_required`; 404 `integration_not_found`.
Answer: {"...": "mqtt.broker_keys", "-": ["key_salt", "key_hash"], "key": "text", "authorization": "text"}$md$;
GRANT EXECUTE ON FUNCTION api.generate_broker_key(text, uuid, text, text) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.get_broker_keys() RETURNS SETOF jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT to_jsonb(k) - '{key_salt,key_hash}'::text []
    FROM mqtt.broker_keys AS k
    WHERE mqtt.is_operator() OR (k.organization_id = ANY (mqtt.current_organization_ids(true)) AND mqtt.key_allows(k.integration_id))
    ORDER BY k.created_at DESC, k.id;
$$;
COMMENT ON FUNCTION api.get_broker_keys() IS
$md$List the keys of brokers

Newest first: those of the organizations that you administer, or all of them for service_role. The keys themselves are never shown.
Answer: {"...": "mqtt.broker_keys", "-": ["key_salt", "key_hash"]}$md$;
GRANT EXECUTE ON FUNCTION api.get_broker_keys() TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.revoke_broker_key(key_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_row mqtt.broker_keys;
BEGIN
    DELETE FROM mqtt.broker_keys AS k
    WHERE k.id = revoke_broker_key.key_id AND (mqtt.is_operator() OR k.organization_id = ANY (mqtt.current_organization_ids(true))) AND mqtt.key_allows(k.integration_id)
    RETURNING k.* INTO v_row;
    IF NOT found THEN
        PERFORM mqtt.require_argument('key_id', key_id::text);
        RAISE EXCEPTION 'broker_key_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no key %s that you may revoke.', key_id),
            HINT = 'get_broker_keys lists yours.';
    END IF;
    IF v_row.integration_id IS NOT NULL THEN
        PERFORM mqtt.log_activity(
            v_row.organization_id, v_row.integration_id, 'broker_key_revoked',
            details => jsonb_build_object('key_id', v_row.id, 'name', v_row.name, 'user_id', mqtt.current_user_id())
        );
    END IF;
    RETURN to_jsonb(v_row) - '{key_salt,key_hash}'::text [];
END;
$$;
COMMENT ON FUNCTION api.revoke_broker_key(uuid) IS
$md$Revoke the key of a broker

The broker's next request is refused. Returns the removed row.
Errors: 404 `broker_key_not_found`.
Answer: {"...": "mqtt.broker_keys", "-": ["key_salt", "key_hash"]}$md$;
GRANT EXECUTE ON FUNCTION api.revoke_broker_key(uuid) TO authenticated, service_role;
COMMIT;
