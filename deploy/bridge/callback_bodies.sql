-- Deploy topicbase:bridge/callback_bodies to pg
-- requires: tables/devices
-- requires: tables/mqtt_callbacks
-- requires: tables/mqtt_messages
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.callback_bodies(deliveries mqtt.mqtt_callback_deliveries []) RETURNS TABLE (organization_id uuid, id uuid, body text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- As in mqtt.store_messages: messages by time, however the history stood when the plan was made.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_since timestamptz;
    v_until timestamptz;
BEGIN
    -- Which partitions they are in is known before the statement that reads them.
    SELECT min(d.received_at), max(d.received_at) INTO v_since, v_until FROM unnest(deliveries) AS d;
    RETURN QUERY
    SELECT d.organization_id, d.id, b.body
    FROM unnest(deliveries) AS d
    JOIN mqtt.organizations AS o ON o.id = d.organization_id
    JOIN mqtt.mqtt_subscriptions AS s ON s.organization_id = d.organization_id AND s.id = d.subscription_id
    CROSS JOIN LATERAL (
        SELECT json_build_object(
            'type', 'mqtt.message',
            'id', m.id,
            'subscription_id', s.id,
            'subscription_topic', s.topic,
            'organization_id', m.organization_id,
            'integration_id', m.integration_id,
            'device_id', e.external_id,
            'topic', m.topic,
            'payload', CASE WHEN m.body IS NULL THEN m.payload ELSE to_jsonb(translate(encode(m.body, 'base64'), E'\n', '')) END,
            'payload_encoding', CASE WHEN m.body IS NULL THEN 'json' ELSE 'base64' END,
            'content_type', m.content_type,
            'qos', m.qos,
            'retain', m.retain,
            'properties', m.properties,
            'sent_at', m.sent_at,
            'received_at', m.received_at,
            'external_id', e.external_id
        )::text AS body
        FROM mqtt.mqtt_messages AS m
        LEFT JOIN mqtt.devices AS e ON e.organization_id = m.organization_id AND e.id = m.device_id
        WHERE m.organization = o.number AND m.received_at = d.received_at AND m.id = d.message_id
            AND m.first_received_at <= d.received_at AND m.last_received_at >= d.received_at
            AND m.received_at BETWEEN v_since AND v_until
        -- Looked up for one delivery after the other, by index.
        OFFSET 0
    ) AS b;
END;
$$;
COMMENT ON FUNCTION mqtt.callback_bodies(mqtt.mqtt_callback_deliveries []) IS
'The bodies of requests, as JSON; none for a delivery whose message is no longer in the history. A part of bridge.claim_callbacks.';
COMMIT;
