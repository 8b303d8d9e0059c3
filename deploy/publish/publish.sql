-- Deploy topicbase:publish/publish to pg
-- requires: publish/publishing
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.publish(integration_id uuid, messages jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_receipts jsonb;
BEGIN
    INSERT INTO mqtt.publishing AS p (integration_id, messages) VALUES (publish.integration_id, publish.messages) RETURNING p.receipts INTO v_receipts;
    RETURN v_receipts;
END;
$$;
COMMENT ON FUNCTION mqtt.publish(uuid, jsonb) IS
'Publishes messages in the caller''s transaction: an array of the objects that api.mqtt_publish takes, all or none. Decided by current_user, which mqtt.grant_publisher has allowed. Returns [{"index", "receipt_id"}].';

CREATE OR REPLACE FUNCTION mqtt.publish(
    integration_id uuid, topic text, payload jsonb, qos integer DEFAULT 0, retain boolean DEFAULT false, properties jsonb DEFAULT '{}'
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.publish(integration_id, jsonb_build_array(coalesce(properties, '{}') || jsonb_build_object(
        'topic', topic, 'payload', coalesce(payload, 'null'), 'payload_encoding', CASE WHEN payload IS NOT NULL THEN 'json' END, 'qos', qos, 'retain', retain
    ))) -> 0 ->> 'receipt_id';
END;
$$;
COMMENT ON FUNCTION mqtt.publish(uuid, text, jsonb, integer, boolean, jsonb) IS
'Publishes one message, its payload as JSON; properties: the other keys that api.mqtt_publish takes, such as content_type, message_expiry or deliver_at. Returns its receipt id.';

CREATE OR REPLACE FUNCTION mqtt.publish(
    integration_id uuid, topic text, payload text, qos integer DEFAULT 0, retain boolean DEFAULT false, properties jsonb DEFAULT '{}'
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.publish(integration_id, jsonb_build_array(coalesce(properties, '{}') || jsonb_build_object(
        'topic', topic, 'payload', coalesce(to_jsonb(payload), '""'), 'payload_encoding', 'text', 'qos', qos, 'retain', retain
    ))) -> 0 ->> 'receipt_id';
END;
$$;
COMMENT ON FUNCTION mqtt.publish(uuid, text, text, integer, boolean, jsonb) IS
'Publishes one message, its payload as text; properties: the other keys that api.mqtt_publish takes, such as content_type, message_expiry or deliver_at. Returns its receipt id.';

CREATE OR REPLACE FUNCTION mqtt.publish(
    integration_id uuid, topic text, payload bytea, qos integer DEFAULT 0, retain boolean DEFAULT false, properties jsonb DEFAULT '{}'
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.publish(integration_id, jsonb_build_array(coalesce(properties, '{}') || jsonb_build_object(
        'topic', topic, 'payload', coalesce(to_jsonb(translate(encode(payload, 'base64'), E'\n', '')), '""'), 'payload_encoding', 'base64', 'qos', qos, 'retain', retain
    ))) -> 0 ->> 'receipt_id';
END;
$$;
COMMENT ON FUNCTION mqtt.publish(uuid, text, bytea, integer, boolean, jsonb) IS
'Publishes one message, its payload as bytes; properties: the other keys that api.mqtt_publish takes, such as content_type, message_expiry or deliver_at. Returns its receipt id.';
GRANT EXECUTE ON FUNCTION mqtt.publish(uuid, jsonb), mqtt.publish(uuid, text, jsonb, integer, boolean, jsonb),
mqtt.publish(uuid, text, text, integer, boolean, jsonb), mqtt.publish(uuid, text, bytea, integer, boolean, jsonb) TO service_role;
COMMIT;
