-- Deploy topicbase:brokers/logins to pg
-- requires: brokers/broker_integrations
-- requires: tables/broker_keys
-- requires: tables/deferred_updates
-- requires: tables/log_activity
-- requires: tables/mqtt_credentials
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.password_matches(credential mqtt.mqtt_credentials, password text) RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    -- An unknown credential is hashed like a wrong password.
    SELECT (
        sha256(coalesce((credential).secret_salt, '\x00000000000000000000000000000000') || p.bytes) = (credential).secret_hash
        OR ((credential).previous_until > now() AND sha256((credential).previous_salt || p.bytes) = (credential).previous_hash)
    ) IS TRUE
    FROM (SELECT convert_to(coalesce(password, ''), 'UTF8') AS bytes) AS p;
END;
COMMENT ON FUNCTION mqtt.password_matches(mqtt.mqtt_credentials, text) IS
'Whether this is the credential''s password, or the one before its last rotation while that still works; false without a credential, and it takes as long.';

CREATE OR REPLACE FUNCTION mqtt.broker_login() RETURNS mqtt.broker_keys
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    -- An unknown username is hashed like a wrong key. This is not in WHERE, which would make it an inner join.
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
COMMENT ON FUNCTION mqtt.broker_login() IS 'The broker that made this HTTP request, identified by Authorization: Basic (RFC 7617) with its username and key; null if it is none, and it takes as long.';

CREATE OR REPLACE FUNCTION mqtt.broker_credential(broker mqtt.broker_keys, username text) RETURNS mqtt.mqtt_credentials
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
'The credential with that username, if it is valid now and this broker may ask about it; else null. The hosted broker may not ask about the credentials of an external broker''s integration.';

CREATE OR REPLACE FUNCTION mqtt.is_heard(credential mqtt.mqtt_credentials) RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT i.is_heard
    FROM mqtt.broker_integrations AS i
    WHERE i.organization_id = (credential).organization_id AND i.id = (credential).integration_id;
END;
COMMENT ON FUNCTION mqtt.is_heard(mqtt.mqtt_credentials) IS
'Whether what a device publishes at its broker reaches the database (see mqtt.broker_integrations); until then the device is not admitted. Null without a credential.';

CREATE OR REPLACE FUNCTION mqtt.client_ids(credential mqtt.mqtt_credentials) RETURNS text []
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- No login can have the second as its own: client ids have no tilde. The hosted broker's plugin has the same (mosquitto/access.c).
    SELECT ARRAY[(credential).client_id, (credential).client_id || '~test'];
END;
COMMENT ON FUNCTION mqtt.client_ids(mqtt.mqtt_credentials) IS
'The client ids with which a login works: its own, and that of a connection test, which must not end the session.';

CREATE OR REPLACE FUNCTION mqtt.count_sessions(credential_ids uuid [], counts bigint [], last_at timestamptz []) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH said AS MATERIALIZED (
        SELECT s.id, s.n, s.at FROM unnest(credential_ids, counts, count_sessions.last_at) AS s (id, n, at)
    ), free AS MATERIALIZED (
        SELECT c.id FROM mqtt.mqtt_credentials AS c WHERE c.id = ANY (credential_ids) ORDER BY c.id FOR NO KEY UPDATE SKIP LOCKED
    ), updated AS (
        UPDATE mqtt.mqtt_credentials AS c
        SET connection_count = c.connection_count + s.n, last_connected_at = greatest(c.last_connected_at, s.at)
        FROM said AS s
        JOIN free AS f ON f.id = s.id
        WHERE c.id = s.id
    )
    -- Whose row a queue worker is writing has them within a minute: nobody who logs in waits for it.
    INSERT INTO mqtt.deferred_credential_updates (organization_id, credential_id, uses, last_connected_at)
    SELECT c.organization_id, c.id, s.n, s.at
    FROM said AS s
    JOIN mqtt.mqtt_credentials AS c ON c.id = s.id
    WHERE s.id NOT IN (SELECT f.id FROM free AS f);
END;
$$;
COMMENT ON FUNCTION mqtt.count_sessions(uuid [], bigint [], timestamptz []) IS
'Counts sessions at a broker as connections of their credentials, each of which is named once.';

CREATE OR REPLACE FUNCTION mqtt.note_first_login(credential mqtt.mqtt_credentials) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Written once in a credential's life and never waited for: if the row is locked, the next login writes it.
    IF credential.broker_login_at IS NOT NULL THEN
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
COMMENT ON FUNCTION mqtt.note_first_login(mqtt.mqtt_credentials) IS 'Logs the first login at a broker, once for each credential.';

CREATE OR REPLACE FUNCTION mqtt.note_broker_login(credential mqtt.mqtt_credentials) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_read_only')::boolean THEN
        RETURN;
    END IF;
    PERFORM mqtt.count_sessions(ARRAY[credential.id], '{1}', ARRAY[clock_timestamp()]);
    PERFORM mqtt.note_first_login(credential);
END;
$$;
COMMENT ON FUNCTION mqtt.note_broker_login(mqtt.mqtt_credentials) IS 'Counts a login at a broker that asks over HTTP, and logs the first.';
COMMIT;
