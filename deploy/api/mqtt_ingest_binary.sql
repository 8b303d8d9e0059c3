-- Deploy topicbase:api/mqtt_ingest_binary to pg
-- requires: ingest/enqueue_message
-- requires: ingest/wrong_passwords
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.mqtt_ingest_binary(bytea) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
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
        v_session, v_topic, NULL, coalesce($1, ''), coalesce(mqtt.try_qos(v_qos), 0), coalesce(mqtt.try_boolean(v_retain), false),
        coalesce(v_headers ->> 'x-content-type', 'application/octet-stream'), v_message_id::uuid, mqtt.try_device_time(v_timestamp)
    );
END;
$$;
COMMENT ON FUNCTION api.mqtt_ingest_binary(bytea) IS
$md$Send one message as a device, its payload as raw bytes

The body is the payload, with `Content-Type: application/octet-stream`. Headers: `X-Topic` (required), `X-QoS`, `X-Retain`,
`X-Content-Type` (media type of the payload: `application/cbor`, `application/msgpack`, `text/plain`, `application/json`, …),
`X-Message-ID`, `X-Timestamp`. Login headers, answer and errors are those of `mqtt_ingest`.
Answer 202: {"message_id": "uuid", "status": "=queued"}$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_ingest_binary(bytea) TO anon, authenticated, service_role;
COMMIT;
