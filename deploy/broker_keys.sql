-- Deploy topicbase:broker_keys to pg
-- requires: credential_rules
-- requires: broker_rules
-- requires: crypto
-- requires: integration_activity_log
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.broker_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid,
    integration_id uuid,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    username text NOT NULL UNIQUE CHECK (username ~ '^[A-Za-z0-9_]{1,64}$'),
    key_salt bytea NOT NULL CHECK (octet_length(key_salt) = 16),
    key_hash bytea NOT NULL CHECK (octet_length(key_hash) = 32),
    vhost text NOT NULL DEFAULT '/' CHECK (length(vhost) BETWEEN 1 AND 255),
    exchange text NOT NULL DEFAULT 'amq.topic' CHECK (length(exchange) BETWEEN 1 AND 255),
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((organization_id IS NULL) = (integration_id IS NULL)),
    FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX broker_keys_integration_idx ON mqtt.broker_keys (organization_id, integration_id);
COMMENT ON TABLE mqtt.broker_keys IS
'Logins of brokers that ask over HTTP whether a device may come in and what it may do. The key is shown once, when it is made.';
COMMENT ON COLUMN mqtt.broker_keys.integration_id IS
'The integration whose credentials the broker may ask about; null is the hosted broker: the credentials of every mqtt_hosted integration, and of no other.';
COMMENT ON COLUMN mqtt.broker_keys.key_hash IS 'SHA-256 of salt and key; the key has 192 random bits.';
COMMENT ON COLUMN mqtt.broker_keys.vhost IS 'RabbitMQ: the only virtual host that devices are let into.';
COMMENT ON COLUMN mqtt.broker_keys.exchange IS 'RabbitMQ: the exchange of its MQTT plugin (mqtt.exchange).';
ALTER TABLE mqtt.broker_keys ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION mqtt.password_fits(credential mqtt.mqtt_credentials, password text) RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    -- An unknown credential is hashed like a wrong password.
    SELECT (
        sha256(coalesce((credential).secret_salt, '\x00000000000000000000000000000000') || p.bytes) = (credential).secret_hash
        OR ((credential).previous_until > now() AND sha256((credential).previous_salt || p.bytes) = (credential).previous_hash)
    ) IS TRUE
    FROM (SELECT convert_to(coalesce(password, ''), 'UTF8') AS bytes) AS p;
END;
COMMENT ON FUNCTION mqtt.password_fits(mqtt.mqtt_credentials, text) IS
'Whether it is the password of that credential, or the one before its last rotation while that still works; false for no credential, in the same time.';

CREATE FUNCTION mqtt.broker_login() RETURNS mqtt.broker_keys
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    -- An unknown username is hashed like a wrong key; not in WHERE, which would make an inner join of it.
    SELECT CASE WHEN sha256(
        coalesce(k.key_salt, '\x00000000000000000000000000000000') || convert_to(coalesce(substr(b.login, strpos(b.login, ':') + 1), ''), 'UTF8')
    ) = k.key_hash THEN k END
    FROM (
        SELECT encode(decode(h.token, 'base64'), 'escape') AS login
        FROM (
            SELECT (regexp_match(
                nullif(current_setting('request.headers', true), '')::jsonb ->> 'authorization',
                '^[Bb][Aa][Ss][Ii][Cc] +((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==))$'
            ))[1] AS token
        ) AS h
    ) AS b
    LEFT JOIN mqtt.broker_keys AS k ON k.username = split_part(b.login, ':', 1);
$$;
COMMENT ON FUNCTION mqtt.broker_login() IS 'The broker behind this HTTP request, by Authorization: Basic (RFC 7617) with its username and key; null when it is none, in the same time.';

CREATE FUNCTION mqtt.broker_credential(broker mqtt.broker_keys, username text) RETURNS mqtt.mqtt_credentials
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c
    FROM mqtt.mqtt_credentials AS c
    JOIN mqtt.broker_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
    WHERE c.username = broker_credential.username AND c.revoked_at IS NULL AND (c.expires_at > now()) IS NOT FALSE AND i.is_on
        AND CASE
            WHEN (broker).id IS NULL THEN false
            WHEN (broker).integration_id IS NULL THEN i.is_hosted
            ELSE i.id = (broker).integration_id
        END;
$$;
COMMENT ON FUNCTION mqtt.broker_credential(mqtt.broker_keys, text) IS
'The credential of that username, if it is valid now and one that this broker may ask about; else null. A credential of an external broker''s integration is nothing at the hosted one.';

CREATE FUNCTION mqtt.is_heard(credential mqtt.mqtt_credentials) RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT i.is_heard
    FROM mqtt.broker_integrations AS i
    WHERE i.organization_id = (credential).organization_id AND i.id = (credential).integration_id;
END;
COMMENT ON FUNCTION mqtt.is_heard(mqtt.mqtt_credentials) IS
'Whether what a device publishes at its broker reaches the database (mqtt.broker_integrations); until then it is to wait outside. Null for no credential.';

CREATE FUNCTION mqtt.note_broker_login(credential mqtt.mqtt_credentials) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Written once in a credential's life, and never waited for: whoever finds the row locked leaves it to the next login.
    IF credential.broker_login_at IS NOT NULL OR current_setting('transaction_read_only')::boolean THEN
        RETURN;
    END IF;
    UPDATE mqtt.mqtt_credentials AS c
    SET broker_login_at = clock_timestamp()
    FROM (SELECT n.id FROM mqtt.mqtt_credentials AS n WHERE n.id = credential.id AND n.broker_login_at IS NULL FOR NO KEY UPDATE SKIP LOCKED) AS free
    WHERE c.id = free.id;
    IF found THEN
        PERFORM mqtt.log_activity(
            credential.organization_id, credential.integration_id, 'credential_first_used',
            details => jsonb_build_object('credential_id', credential.id, 'username', credential.username, 'via', 'broker')
        );
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.note_broker_login(mqtt.mqtt_credentials) IS
'Logs the first login at a broker that asks over HTTP, once for each credential.';

CREATE FUNCTION api.generate_broker_key(
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
            DETAIL = 'A key for the hosted broker, which serves every organization, is the operator''s to make.',
            HINT = 'Name the integration whose devices log in at a broker of your own.';
    END IF;
    IF (length(name) BETWEEN 1 AND 200 AND length(vhost) BETWEEN 1 AND 255 AND length(exchange) BETWEEN 1 AND 255) IS NOT TRUE THEN
        RAISE EXCEPTION 'name_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'name has 1 to 200 characters, vhost and exchange 1 to 255.', HINT = 'Give the broker a name to know its key by.';
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
$md$Generate a key with which a broker asks about devices

For `rabbitmq_auth_*` and `emqx_*`. The answer is the only place that ever shows `key`; `authorization` is the whole header, username and key
as HTTP Basic. Without integration_id (service_role alone) the broker is the hosted one and may ask about the credentials of all
`mqtt_hosted` integrations; with it, about those of that integration alone. vhost and exchange are RabbitMQ's.
Errors: 400 `name_invalid`; 403 `integration_required`, `admin_required`; 404 `integration_not_found`.$md$;
GRANT EXECUTE ON FUNCTION api.generate_broker_key(text, uuid, text, text) TO authenticated, service_role;

CREATE FUNCTION api.get_broker_keys() RETURNS SETOF jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT to_jsonb(k) - '{key_salt,key_hash}'::text []
    FROM mqtt.broker_keys AS k
    WHERE mqtt.is_operator() OR k.organization_id = ANY (mqtt.current_organization_ids(true))
    ORDER BY k.created_at DESC, k.id;
$$;
COMMENT ON FUNCTION api.get_broker_keys() IS
$md$List the keys of brokers

Newest first; those of the organizations that the caller administers, for service_role all. Never the key itself.$md$;
GRANT EXECUTE ON FUNCTION api.get_broker_keys() TO authenticated, service_role;

CREATE FUNCTION api.revoke_broker_key(key_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_row mqtt.broker_keys;
BEGIN
    DELETE FROM mqtt.broker_keys AS k
    WHERE k.id = revoke_broker_key.key_id AND (mqtt.is_operator() OR k.organization_id = ANY (mqtt.current_organization_ids(true)))
    RETURNING k.* INTO v_row;
    IF NOT found THEN
        RAISE EXCEPTION 'broker_key_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('No key %s that you may revoke.', coalesce(revoke_broker_key.key_id::text, 'null')),
            HINT = 'get_broker_keys shows yours.';
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

From its next question on, all of which are answered no. Answers what the key was.
Errors: 404 `broker_key_not_found`.$md$;
GRANT EXECUTE ON FUNCTION api.revoke_broker_key(uuid) TO authenticated, service_role;
COMMIT;
