-- Deploy topicbase:api/mqtt_ingest_binary to pg
-- requires: ingest/sender_documents
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.ingest_bytes(body bytea, content_type text) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_session mqtt.device_session := mqtt.device_login();
    v_headers json := nullif(current_setting('request.headers', true), '');
    v_topic text := v_headers ->> 'x-topic';
    v_qos text := v_headers ->> 'x-qos';
    v_retain text := v_headers ->> 'x-retain';
    v_message_id text := v_headers ->> 'x-message-id';
    v_timestamp text := v_headers ->> 'x-timestamp';
    v_properties jsonb := nullif(jsonb_strip_nulls(jsonb_build_object(
        'payload_format', v_headers ->> 'x-payload-format', 'response_topic', v_headers ->> 'x-response-topic',
        'correlation_data', v_headers ->> 'x-correlation-data', 'message_expiry', v_headers ->> 'x-message-expiry',
        'user_properties', mqtt.try_jsonb(v_headers ->> 'x-user-properties')
    )), '{}');
    v_fault text;
BEGIN
    IF v_session.fault IS NOT NULL THEN
        RETURN mqtt.answer_wrong_login(v_session);
    END IF;
    v_fault := mqtt.option_fault(v_qos, v_retain, v_message_id, v_timestamp);
    IF v_fault IS NOT NULL THEN
        PERFORM mqtt.refuse_message(v_fault, v_topic, v_session.topic_prefix, v_session.max_payload_bytes);
    END IF;
    RETURN mqtt.enqueue_message(
        v_session, v_topic, NULL, mqtt.plain_body(coalesce(body, ''), lower(coalesce(v_headers ->> 'content-encoding', ''))),
        coalesce(mqtt.try_qos(v_qos), 0), coalesce(mqtt.try_boolean(v_retain), false),
        coalesce(v_headers ->> 'x-content-type', ingest_bytes.content_type), v_message_id::uuid, mqtt.try_device_time(v_timestamp),
        v_properties
    );
END;
$$;
COMMENT ON FUNCTION mqtt.ingest_bytes(bytea, text) IS
'Logs the device in by the headers of the request, which say the rest of its message too, and queues the body, decompressed: of the content type given unless X-Content-Type tells another.';

CREATE OR REPLACE FUNCTION api.mqtt_ingest_binary(bytea) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.ingest_bytes($1, 'application/octet-stream');
END;
$$;
COMMENT ON FUNCTION api.mqtt_ingest_binary(bytea) IS
$md$Send one message as a device, its payload as raw bytes

The body is the payload, with `Content-Type: application/octet-stream`. Headers: `X-Topic` (required), `X-QoS`, `X-Retain`,
`X-Content-Type` (media type of the payload: `application/cbor`, `application/msgpack`, `text/plain`, `application/json`, …),
`X-Message-ID`, `X-Timestamp`, and for MQTT 5 properties `X-Payload-Format`, `X-Response-Topic`, `X-Correlation-Data`, `X-Message-Expiry`,
`X-User-Properties` (JSON); `Content-Encoding`: `gzip` or `deflate`, where the server has PL/Python. Login headers and answer are those of `mqtt_ingest`.
Errors: those of `mqtt_ingest`; 400 `content_encoding_invalid`; 415 `content_encoding_unsupported`.
Answer 202: {"message_id": "uuid", "status": "=queued"}$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_ingest_binary(bytea) TO anon, authenticated, service_role;
COMMIT;
