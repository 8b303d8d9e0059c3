-- Deploy topicbase:api_mqtt_ingest to pg
-- requires: queue_message
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION api.mqtt_ingest(
    topic text, payload json, qos integer DEFAULT 0, retain boolean DEFAULT false, content_type text DEFAULT NULL,
    payload_encoding text DEFAULT NULL, message_id uuid DEFAULT NULL, "timestamp" timestamptz DEFAULT NULL
) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_session mqtt.device_session := mqtt.device_login();
    v_payload jsonb := 'null';
    v_body bytea;
    v_fault text;
BEGIN
    IF v_session.fault IS NOT NULL THEN
        RETURN mqtt.answer_wrong_login(v_session);
    END IF;
    IF octet_length(payload::text) > v_session.max_payload_bytes * 2::bigint THEN
        v_fault := 'payload_too_large';
    ELSIF payload_encoding = 'base64' THEN
        v_payload := NULL;
        v_body := CASE WHEN json_typeof(payload) = 'string' THEN mqtt.try_base64(payload #>> '{}') END;
        v_fault := CASE WHEN v_body IS NULL THEN 'payload_not_base64' END;
    ELSIF payload_encoding NOT IN ('json', 'text') OR (payload_encoding = 'text' AND json_typeof(payload) <> 'string') THEN
        v_fault := 'payload_encoding_invalid';
    ELSIF payload IS NOT NULL THEN
        v_payload := mqtt.checked_jsonb(payload::text);
    END IF;
    -- Postgres also reads infinity, BC and years of five digits, which no RFC 3339 reader does.
    IF v_fault IS NULL AND "timestamp" NOT BETWEEN '0001-01-01 00:00+00' AND '9999-12-31 23:59:59.999999+00' THEN
        v_fault := 'timestamp_invalid';
    END IF;
    IF v_fault IS NOT NULL THEN
        PERFORM mqtt.refuse_message(v_fault, topic, v_session.topic_prefix, v_session.max_payload_bytes);
    END IF;
    RETURN mqtt.queue_message(v_session, topic, v_payload, v_body, coalesce(qos, 0), coalesce(retain, false), content_type, message_id, "timestamp");
END;
$$;
COMMENT ON FUNCTION api.mqtt_ingest(text, json, integer, boolean, text, text, uuid, timestamptz) IS
$md$Send one message as a device

Log in with `Authorization: Basic base64(username:password)`, or `X-Username` and `X-Password`, and `X-Client-ID`, as issued by
`generate_mqtt_credentials`. Answers 202 `{"message_id", "status": "queued"}` once the message is durable.

- `topic`: MQTT topic name below the credential's prefix
- `payload`: any JSON; with `payload_encoding` `base64` a string holding the bytes, to be decoded by `content_type`
- `qos` 0, 1 or 2; `retain`; `timestamp`: when the device measured it (RFC 3339)
- `message_id`: a UUID of your own; sent again within the idempotency window (24 hours) it is answered the same and stored once

Errors: 401 `invalid_credentials`; 403 `topic_not_allowed`, `publish_not_allowed`, `integration_inactive`; 400 `topic_invalid`,
`qos_invalid`, `payload_invalid`, `payload_not_base64`, `payload_encoding_invalid`, `content_type_invalid`, `timestamp_invalid`; 413 `payload_too_large`; 429 `too_many_wrong_passwords`, `quota_exceeded`, `queue_full` and 503 `intake_stopped`, with `Retry-After`.$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_ingest(text, json, integer, boolean, text, text, uuid, timestamptz) TO anon, authenticated, service_role;
COMMIT;
