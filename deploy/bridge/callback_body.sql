-- Deploy topicbase:bridge/callback_body to pg
-- requires: tables/devices
-- requires: tables/mqtt_callbacks
-- requires: tables/mqtt_messages
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.callback_body(delivery mqtt.mqtt_callback_deliveries, subscription mqtt.mqtt_subscriptions) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT json_build_object(
            'type', 'mqtt.message',
            'id', m.id,
            'subscription_id', subscription.id,
            'subscription_topic', subscription.topic,
            'organization_id', m.organization_id,
            'integration_id', m.integration_id,
            'device_id', d.external_id,
            'topic', m.topic,
            'payload', CASE WHEN m.body IS NULL THEN m.payload ELSE to_jsonb(translate(encode(m.body, 'base64'), E'\n', '')) END,
            'payload_encoding', CASE WHEN m.body IS NULL THEN 'json' ELSE 'base64' END,
            'content_type', m.content_type,
            'qos', m.qos,
            'retain', m.retain,
            'properties', m.properties,
            'sent_at', m.sent_at,
            'received_at', m.received_at,
            'external_id', d.external_id
        )::text
        FROM mqtt.mqtt_messages AS m
        LEFT JOIN mqtt.devices AS d ON d.organization_id = m.organization_id AND d.id = m.device_id
        WHERE m.organization = (SELECT o.number FROM mqtt.organizations AS o WHERE o.id = delivery.organization_id)
            AND m.received_at = delivery.received_at AND m.id = delivery.message_id
    );
END;
$$;
COMMENT ON FUNCTION mqtt.callback_body(mqtt.mqtt_callback_deliveries, mqtt.mqtt_subscriptions) IS
'The body of the request, as JSON; null if the message is no longer in the history.';
COMMIT;
