-- Deploy topicbase:api/mqtt_publish to pg
-- requires: base/wake_bridge
-- requires: publish/enqueue_outbound
-- requires: publish/require_open_queue
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.mqtt_publish(integration_id uuid, messages json, organization_id uuid DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(mqtt_publish.integration_id, mqtt_publish.organization_id);
    v_limits record;
    v_messages jsonb;
    v_receipts jsonb;
BEGIN
    SELECT l.* INTO STRICT v_limits FROM mqtt.outbound_limits(v_integration.id) AS l;
    PERFORM mqtt.refuse_outbound(CASE WHEN v_limits.is_inactive THEN 'integration_inactive' END);
    PERFORM mqtt.require_open_queue(v_integration.organization_id, 'outbound');
    v_messages := mqtt.outbound_array(messages, v_limits.max_messages);
    PERFORM mqtt.require_publishable(v_messages, v_limits.required_prefix, v_limits.max_bytes);
    v_receipts := mqtt.enqueue_outbound(v_integration.organization_id, v_integration.id, v_messages);
    PERFORM mqtt.wake_bridge('outbound');
    PERFORM set_config('response.status', '202', true);
    RETURN jsonb_build_object('status', 'queued', 'receipts', v_receipts);
END;
$$;
COMMENT ON FUNCTION api.mqtt_publish(uuid, json, uuid) IS
$md$Publish messages to an integration's broker

`messages` is an array; either all of them are queued or none. Each has
- `topic`: MQTT topic name; at the hosted broker below the organization's prefix
- `payload`: any JSON; a string is sent as its text, null as an empty payload (which with `retain` deletes what the broker retains), anything
  else as JSON text. `payload_encoding` overrides this: `json` (a string is sent with its quotes, null as `null`), `text`, or `base64` (bytes)
- `qos` 0, 1 or 2, `retain`
- `content_type`, `payload_format` (`utf-8`), `response_topic`, `correlation_data` (base64), `user_properties` (object, or array of pairs), for
  MQTT 5
- `message_expiry`: seconds after which the message is worthless; `deliver_at`: when to publish it (RFC 3339), at most a year ahead

Returns 202 `{"status": "queued", "receipts": [{"index", "receipt_id"}]}` once the messages are durable; get_mqtt_publish_receipts shows
what became of each.
Errors: 400 `messages_invalid`, `messages_empty`, `message_invalid` (the details give the index); 403 `topic_not_allowed`,
`integration_inactive`; 404 `integration_not_found`; 413 `batch_too_large`, `payload_too_large`; 429 `queue_paused`, with `Retry-After`.
Body: {"messages": [{"topic": "text", "payload?": "json", "qos?": "integer", "retain?": "boolean", "payload_encoding?": "json|text|base64",
"content_type?": "text?", "response_topic?": "text?", "correlation_data?": "text?", "user_properties?": "json", "message_expiry?": "integer?",
"deliver_at?": "time?"}]}
Answer 202: {"status": "=queued", "receipts": [{"index": "integer", "receipt_id": "uuid"}]}$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_publish(uuid, json, uuid) TO authenticated, service_role;
COMMIT;
