-- Deploy topicbase:brokers/rabbitmq_auth to pg
-- requires: brokers/access_rules
-- requires: brokers/logins
-- requires: brokers/raw_body
-- requires: ingest/wrong_passwords
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.plain_verdict(allowed boolean) RETURNS api."*/*"
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('response.headers', '[{"Content-Type": "text/plain; charset=utf-8"}, {"Cache-Control": "no-store"}]', true);
    RETURN CASE WHEN allowed IS TRUE THEN 'allow' ELSE 'deny' END;
END;
$$;
COMMENT ON FUNCTION mqtt.plain_verdict(boolean) IS 'allow or deny, as text/plain.';

CREATE OR REPLACE FUNCTION mqtt.rabbitmq_login() RETURNS mqtt.broker_keys
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_broker mqtt.broker_keys := mqtt.broker_login();
BEGIN
    IF v_broker.id IS NULL THEN
        RAISE EXCEPTION 'broker_unknown' USING
            ERRCODE = 'PT401',
            DETAIL = 'Only a broker with a valid key gets an answer.',
            HINT = 'Write the URLs as http://<username>:<key>@host/…, with the username and key that generate_broker_key returned.';
    END IF;
    RETURN v_broker;
END;
$$;
COMMENT ON FUNCTION mqtt.rabbitmq_login() IS 'The broker that asks. Raises PT401 broker_unknown if it is none, which RabbitMQ treats as a refusal and logs.';

CREATE OR REPLACE FUNCTION mqtt.topic_of_routing_key(routing_key text, wildcards boolean) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- Undoes what RabbitMQ's MQTT plugin did to the topic: / became a dot and + an asterisk. It does not tell a dot in the topic from a slash.
    SELECT translate(routing_key, CASE WHEN wildcards THEN './*' ELSE './' END, CASE WHEN wildcards THEN '//+' ELSE '//' END);
END;
COMMENT ON FUNCTION mqtt.topic_of_routing_key(text, boolean) IS 'The MQTT topic (with wildcards: the filter) that RabbitMQ turned into a routing key.';

CREATE OR REPLACE FUNCTION api.rabbitmq_auth_user(
    username text, password text DEFAULT NULL, client_id text DEFAULT NULL, vhost text DEFAULT NULL, ip text DEFAULT NULL, tags text DEFAULT NULL
) RETURNS api."*/*"
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_broker mqtt.broker_keys := mqtt.rabbitmq_login();
    v_credential mqtt.mqtt_credentials := mqtt.broker_credential(v_broker, rabbitmq_auth_user.username);
    v_fits boolean := mqtt.password_matches(v_credential, rabbitmq_auth_user.password);
    v_allowed boolean;
BEGIN
    IF NOT v_fits THEN
        PERFORM mqtt.count_wrong_password(rabbitmq_auth_user.username);
    END IF;
    -- Only MQTT sends a client id: a device cannot log in over AMQP or STOMP, or to the management pages.
    v_allowed := v_fits AND rabbitmq_auth_user.client_id = ANY (mqtt.client_ids(v_credential))
        AND coalesce(rabbitmq_auth_user.vhost, v_broker.vhost) = v_broker.vhost AND mqtt.is_heard(v_credential);
    IF v_allowed AND rabbitmq_auth_user.client_id = v_credential.client_id THEN
        PERFORM mqtt.note_broker_login(v_credential);
    END IF;
    RETURN mqtt.plain_verdict(v_allowed);
END;
$$;
COMMENT ON FUNCTION api.rabbitmq_auth_user(text, text, text, text, text, text) IS
$md$RabbitMQ asks whether a device may log in

For `auth_http.user_path`. Returns `allow` (without tags) or `deny` as text, to a broker with a key (see `generate_broker_key`). The client id must
be the credential's own, or for a connection test that with `~test` behind it, and the broker must have granted the bridge's first subscription for the integration.
Errors: 401 `broker_unknown`.
Answer: "text"$md$;
GRANT EXECUTE ON FUNCTION api.rabbitmq_auth_user(text, text, text, text, text, text) TO anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION api.rabbitmq_auth_vhost(
    username text, vhost text, ip text DEFAULT NULL, tags text DEFAULT NULL, client_id text DEFAULT NULL
) RETURNS api."*/*"
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_broker mqtt.broker_keys := mqtt.rabbitmq_login();
    v_credential mqtt.mqtt_credentials := mqtt.broker_credential(v_broker, rabbitmq_auth_vhost.username);
BEGIN
    RETURN mqtt.plain_verdict(v_credential.id IS NOT NULL AND rabbitmq_auth_vhost.vhost = v_broker.vhost);
END;
$$;
COMMENT ON FUNCTION api.rabbitmq_auth_vhost(text, text, text, text, text) IS
$md$RabbitMQ asks whether a device may use a virtual host

For `auth_http.vhost_path`. Returns `allow` for the virtual host of the broker's key, else `deny`, as text.
Errors: 401 `broker_unknown`.
Answer: "text"$md$;
GRANT EXECUTE ON FUNCTION api.rabbitmq_auth_vhost(text, text, text, text, text) TO anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION api.rabbitmq_auth_resource(
    username text, vhost text, resource text, name text, permission text, tags text DEFAULT NULL, client_id text DEFAULT NULL
) RETURNS api."*/*"
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_broker mqtt.broker_keys := mqtt.rabbitmq_login();
    v_credential mqtt.mqtt_credentials := mqtt.broker_credential(v_broker, rabbitmq_auth_resource.username);
BEGIN
    RETURN mqtt.plain_verdict(
        v_credential.id IS NOT NULL AND rabbitmq_auth_resource.vhost = v_broker.vhost AND CASE resource
            WHEN 'exchange' THEN name = v_broker.exchange AND CASE permission
                WHEN 'write' THEN v_credential.can_publish
                WHEN 'read' THEN v_credential.can_subscribe
            END
            -- Only the queues of the device's own session; its will waits in one, too.
            WHEN 'queue' THEN permission IN ('configure', 'write', 'read') AND EXISTS (
                SELECT FROM unnest(mqtt.client_ids(v_credential)) AS i (id)
                WHERE name IN ('mqtt-subscription-' || i.id || 'qos0', 'mqtt-subscription-' || i.id || 'qos1', 'mqtt-will-' || i.id)
            )
        END
    );
END;
$$;
COMMENT ON FUNCTION api.rabbitmq_auth_resource(text, text, text, text, text, text, text) IS
$md$RabbitMQ asks whether a device may use an exchange or a queue

For `auth_http.resource_path`. Returns `allow` for the MQTT plugin's exchange (`rabbitmq_auth_topic` decides about topics) and for the queues of
the device's own session, else `deny`, as text.
Errors: 401 `broker_unknown`.
Answer: "text"$md$;
GRANT EXECUTE ON FUNCTION api.rabbitmq_auth_resource(text, text, text, text, text, text, text) TO anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION api.rabbitmq_auth_topic(
    username text, vhost text, resource text, name text, permission text, routing_key text, tags text DEFAULT NULL,
    "variable_map.client_id" text DEFAULT NULL, "variable_map.username" text DEFAULT NULL, "variable_map.vhost" text DEFAULT NULL
) RETURNS api."*/*"
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_broker mqtt.broker_keys := mqtt.rabbitmq_login();
    v_credential mqtt.mqtt_credentials := mqtt.broker_credential(v_broker, rabbitmq_auth_topic.username);
    v_action CONSTANT text := CASE permission WHEN 'write' THEN 'publish' WHEN 'read' THEN 'subscribe' END;
    v_topic CONSTANT text := mqtt.topic_of_routing_key(routing_key, permission = 'read');
BEGIN
    -- RabbitMQ does not tell a dot in a topic from a slash, so the rules are compared in the same way.
    RETURN mqtt.plain_verdict(
        v_credential.id IS NOT NULL AND rabbitmq_auth_topic.vhost = v_broker.vhost AND resource = 'topic' AND name = v_broker.exchange
        AND (permission <> 'write' OR mqtt.is_heard(v_credential))
        AND EXISTS (
            SELECT FROM mqtt.access_rules(v_credential) AS r
            WHERE r.action = v_action AND mqtt.rule_allows(replace(r.filter, '.', '/'), v_action, v_topic)
        )
    );
END;
$$;
COMMENT ON FUNCTION api.rabbitmq_auth_topic(text, text, text, text, text, text, text, text, text, text) IS
$md$RabbitMQ asks whether a device may publish or subscribe to a topic

For `auth_http.topic_path`. Returns `allow` or `deny` as text. permission is `write` for a publish and `read` for a subscription, whose filter must
lie within one of the credential's filters. routing_key is the topic with dots instead of slashes; `variable_map.*` is accepted and ignored.
Errors: 401 `broker_unknown`.
Answer: "text"$md$;
GRANT EXECUTE ON FUNCTION api.rabbitmq_auth_topic(text, text, text, text, text, text, text, text, text, text) TO anon, authenticated, service_role;
COMMIT;
