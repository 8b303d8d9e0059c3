-- Deploy topicbase:api/mqtt_subscribe to pg
-- requires: base/outward_addresses
-- requires: integrations/callback_secrets
-- requires: integrations/log_subscription
-- requires: tables/end_callbacks
-- requires: tables/renumber_subscription
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.check_subscription(
    integration mqtt.device_integrations, topic text, qos integer, retain_handling integer, callback_url text
) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_prefix CONSTANT text := (SELECT o.topic_prefix FROM mqtt.organizations AS o WHERE o.id = integration.organization_id);
    v_error text := CASE
        WHEN octet_length(topic) > 2048 THEN 'A topic filter has at most 2,048 bytes here.'
        ELSE mqtt.topic_filter_reason(topic)
    END;
BEGIN
    IF v_error IS NOT NULL THEN
        RAISE EXCEPTION 'topic_invalid' USING ERRCODE = 'PT400', DETAIL = v_error, HINT = 'See section 4.7 of MQTT 5.';
    ELSIF integration.integration_type = 'mqtt_hosted' AND NOT mqtt.is_operator()
        AND NOT mqtt.topic_is_under(regexp_replace(topic, '^\$share/[^/]+/', ''), v_prefix) THEN
        RAISE EXCEPTION 'topic_not_allowed' USING
            ERRCODE = 'PT403',
            DETAIL = format('At the hosted broker, topic must start with %s/.', v_prefix),
            HINT = 'Other topics belong to other organizations.';
    ELSIF (qos BETWEEN 0 AND 2) IS NOT TRUE THEN
        RAISE EXCEPTION 'qos_invalid' USING ERRCODE = 'PT400', DETAIL = 'qos must be 0, 1 or 2.', HINT = 'It is the highest QoS that the broker may use.';
    ELSIF (retain_handling BETWEEN 0 AND 2) IS NOT TRUE THEN
        RAISE EXCEPTION 'retain_handling_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'retain_handling must be 0, 1 or 2.', HINT = 'See section 3.8.3.1 of MQTT 5.';
    ELSIF callback_url IS NULL THEN
        RETURN;
    END IF;
    v_error := mqtt.callback_url_reason(callback_url, (SELECT c.allow_private_addresses FROM mqtt.configuration AS c));
    IF v_error IS NOT NULL THEN
        RAISE EXCEPTION 'callback_url_invalid' USING
            ERRCODE = 'PT400', DETAIL = format('callback_url %s.', v_error), HINT = 'Give a public URL that accepts POST requests.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.check_subscription(mqtt.device_integrations, text, integer, integer, text) IS
'Raises PT400 topic_invalid, qos_invalid, retain_handling_invalid or callback_url_invalid, or PT403 topic_not_allowed, unless the caller may make this subscription.';
GRANT EXECUTE ON FUNCTION mqtt.check_subscription(mqtt.device_integrations, text, integer, integer, text) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.require_subscription_room(integration mqtt.device_integrations, topic text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_most CONSTANT integer := (
        SELECT coalesce(o.max_subscriptions, c.max_subscriptions)
        FROM mqtt.configuration AS c
        CROSS JOIN mqtt.organizations AS o
        WHERE o.id = integration.organization_id
    );
BEGIN
    IF v_most <= (SELECT count(*) FROM mqtt.mqtt_subscriptions AS s WHERE s.organization_id = integration.organization_id) AND NOT EXISTS (
        SELECT
        FROM mqtt.mqtt_subscriptions AS s
        WHERE s.organization_id = integration.organization_id AND s.integration_id = integration.id AND s.topic = require_subscription_room.topic
    ) THEN
        RAISE EXCEPTION 'subscription_limit_reached' USING
            ERRCODE = 'PT409',
            DETAIL = format('Your organization has %s subscriptions, and may have no more.', v_most),
            HINT = 'Use wildcards, unsubscribe from some, or ask the operator to raise max_subscriptions.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_subscription_room(mqtt.device_integrations, text) IS
'Raises PT409 subscription_limit_reached for a new filter if the organization already has as many subscriptions as it may have (every bridge reads all of its own).';
GRANT EXECUTE ON FUNCTION mqtt.require_subscription_room(mqtt.device_integrations, text) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.mqtt_subscribe(
    integration_id uuid, topic text, qos integer DEFAULT 0, callback_url text DEFAULT NULL, organization_id uuid DEFAULT NULL,
    no_local boolean DEFAULT true, retain_handling integer DEFAULT 0, is_paused boolean DEFAULT false,
    callback_ordered boolean DEFAULT false, callback_secret jsonb DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(mqtt_subscribe.integration_id, mqtt_subscribe.organization_id, true);
    v_subscription mqtt.mqtt_subscriptions;
    v_secret text;
BEGIN
    PERFORM mqtt.check_subscription(
        v_integration, mqtt_subscribe.topic, mqtt_subscribe.qos, mqtt_subscribe.retain_handling, mqtt_subscribe.callback_url
    );
    PERFORM mqtt.require_subscription_room(v_integration, mqtt_subscribe.topic);
    INSERT INTO mqtt.mqtt_subscriptions AS s (
        organization_id, integration_id, topic, qos, callback_url, callback_ordered, no_local, retain_handling, is_paused
    )
    VALUES (
        v_integration.organization_id, v_integration.id, mqtt_subscribe.topic, mqtt_subscribe.qos, mqtt_subscribe.callback_url,
        coalesce(mqtt_subscribe.callback_ordered, false),
        -- MQTT 5 section 3.8.3.1: No Local on a shared subscription is a protocol error.
        coalesce(mqtt_subscribe.no_local, true) AND NOT starts_with(mqtt_subscribe.topic, '$share/'), mqtt_subscribe.retain_handling,
        coalesce(mqtt_subscribe.is_paused, false)
    )
    ON CONFLICT ON CONSTRAINT mqtt_subscriptions_organization_id_integration_id_topic_key DO UPDATE
    SET qos = excluded.qos,
        callback_url = excluded.callback_url,
        callback_ordered = excluded.callback_ordered,
        callback_gone_at = NULL,
        no_local = excluded.no_local,
        retain_handling = excluded.retain_handling,
        is_paused = excluded.is_paused,
        status = CASE
            WHEN (s.qos, s.no_local, s.retain_handling, s.is_paused)
                = (excluded.qos, excluded.no_local, excluded.retain_handling, excluded.is_paused) THEN s.status
            ELSE 'pending'
        END,
        updated_at = clock_timestamp()
    RETURNING s.* INTO v_subscription;
    IF v_subscription.callback_url IS NOT NULL THEN
        v_secret := mqtt.set_callback_secret(
            v_subscription.organization_id, v_subscription.id, mqtt_subscribe.callback_secret, '1 day', only_if_none => true
        );
    END IF;
    RETURN (to_jsonb(v_subscription) - '{number,active_at,prefix,pattern}'::text [])
        || CASE WHEN v_secret IS NULL THEN '{}' ELSE jsonb_build_object('callback_secret', v_secret) END;
END;
$$;
COMMENT ON FUNCTION api.mqtt_subscribe(uuid, text, integer, text, uuid, boolean, integer, boolean, boolean, jsonb) IS
$md$Subscribe to a topic filter at an integration's broker

Matching messages are stored like those that devices post; topic may have the wildcards + and #, and may be `$share/<name>/<filter>`. With a
callback_url, matching messages are also posted there, whether they came from the broker or over HTTP: signed, retried, and with
callback_ordered one after the other. The answer is the only place that ever shows the `callback_secret` that signatures are checked with; a
subscription that already has a secret keeps it. You can send a sealed secret of your own as callback_secret: `{"sealed": "<base64>"}`.
Subscribing again to the same filter changes the other arguments, and ends a pause that began when the receiver answered 410. A subscription
that is_paused is unsubscribed at the broker and posts nothing, but keeps its row. `status` is `pending` until the broker has granted it.
Errors: 400 `topic_invalid`, `qos_invalid`, `retain_handling_invalid`, `callback_url_invalid`, `callback_secret_invalid`,
`sealing_unavailable`; 403 `admin_required`, `topic_not_allowed`; 404 `integration_not_found`; 409 `subscription_limit_reached`.
Body: {"callback_secret": {"sealed": "text"}}
Answer: {"...": "mqtt.mqtt_subscriptions", "-": ["number", "active_at", "prefix", "pattern"], "callback_secret?": "text"}$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_subscribe(uuid, text, integer, text, uuid, boolean, integer, boolean, boolean, jsonb) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.require_subscription(subscription_id uuid) RETURNS mqtt.mqtt_subscriptions
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_subscription mqtt.mqtt_subscriptions;
BEGIN
    SELECT s.* INTO v_subscription
    FROM mqtt.mqtt_subscriptions AS s
    WHERE s.id = require_subscription.subscription_id
        AND (mqtt.is_operator() OR s.organization_id = ANY (mqtt.current_organization_ids()))
        AND mqtt.key_allows(s.integration_id);
    IF NOT found THEN
        PERFORM mqtt.require_argument('subscription_id', subscription_id::text);
        RAISE EXCEPTION 'subscription_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no subscription %s that you may see.', subscription_id),
            HINT = 'GET /mqtt_subscriptions shows yours.';
    END IF;
    PERFORM mqtt.require_admin(v_subscription.organization_id);
    RETURN v_subscription;
END;
$$;
COMMENT ON FUNCTION mqtt.require_subscription(uuid) IS
'The subscription, where the caller may see it (else PT404 subscription_not_found) and is an admin there (else PT403 admin_required).';
GRANT EXECUTE ON FUNCTION mqtt.require_subscription(uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.mqtt_unsubscribe(subscription_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_subscription mqtt.mqtt_subscriptions := mqtt.require_subscription(mqtt_unsubscribe.subscription_id);
BEGIN
    DELETE FROM mqtt.mqtt_subscriptions AS s WHERE s.organization_id = v_subscription.organization_id AND s.id = v_subscription.id;
    RETURN to_jsonb(v_subscription) - '{number,active_at,prefix,pattern}'::text [];
END;
$$;
COMMENT ON FUNCTION api.mqtt_unsubscribe(uuid) IS
$md$End a subscription

The bridge unsubscribes at the broker. Returns the removed subscription.
Errors: 403 `admin_required`; 404 `subscription_not_found`.
Answer: {"...": "mqtt.mqtt_subscriptions", "-": ["number", "active_at", "prefix", "pattern"]}$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_unsubscribe(uuid) TO authenticated, service_role;
COMMIT;
