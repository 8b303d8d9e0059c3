-- Deploy topicbase:api/mqtt_ingest to pg
-- requires: api/mqtt_ingest_binary
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- The general way; the fast way is in api.mqtt_ingest. What both accept must be stored as the same row (tests/pgtap/ingest.sql).
CREATE OR REPLACE FUNCTION mqtt.ingest_message(
    topic text, payload json, qos text, retain text, content_type text, payload_encoding text, message_id text, sent_at text,
    properties jsonb DEFAULT NULL
) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_session mqtt.device_session;
    v_text text;
    v_payload jsonb;
    v_body bytea;
    v_fault text := mqtt.option_fault(qos, retain, message_id, sent_at);
BEGIN
    -- GET: a wrong password could not be counted. So this fails for every login alike, and as the fast way does: PostgreSQL refuses the INSERT.
    IF current_setting('transaction_read_only')::boolean THEN
        INSERT INTO mqtt.wrong_passwords (bucket, since, tries) SELECT 0, now(), 0 WHERE false;
    END IF;
    SELECT s.* INTO v_session FROM mqtt.request_session() AS s;
    IF v_session.fault IS NOT NULL THEN
        RETURN mqtt.answer_wrong_login(v_session);
    END IF;
    -- A short payload without \u escapes and far exponents cannot fail, so it needs no subtransaction. A single expression, because PL/pgSQL sets
    -- up each one again in every transaction.
    v_payload := CASE
        WHEN payload_encoding IS NULL AND v_fault IS NULL AND octet_length(payload::text) <= least(1000, v_session.max_payload_bytes * 2::bigint)
            THEN mqtt.quick_jsonb(payload::text)
    END;
    IF v_payload IS NULL THEN
        v_text := payload::text;
        v_payload := 'null';
        IF v_fault IS NOT NULL THEN
            NULL;
        ELSIF octet_length(v_text) > v_session.max_payload_bytes * 2::bigint THEN
            v_fault := 'payload_too_large';
        ELSIF payload_encoding = 'base64' THEN
            v_payload := NULL;
            v_body := CASE WHEN json_typeof(payload) = 'string' THEN mqtt.try_base64(payload #>> '{}') END;
            v_fault := CASE WHEN v_body IS NULL THEN 'payload_not_base64' END;
        ELSIF payload_encoding NOT IN ('json', 'text') OR (payload_encoding = 'text' AND json_typeof(payload) <> 'string') THEN
            v_fault := 'payload_encoding_invalid';
        ELSIF payload IS NOT NULL THEN
            v_payload := mqtt.quick_jsonb(v_text);
        END IF;
        IF v_fault IS NOT NULL THEN
            PERFORM mqtt.refuse_message(v_fault, topic, v_session.topic_prefix, v_session.max_payload_bytes);
        END IF;
    END IF;
    RETURN mqtt.enqueue_message(
        v_session, topic, v_payload, v_body, coalesce(mqtt.try_qos(qos), 0), coalesce(mqtt.try_boolean(retain), false), content_type,
        message_id::uuid, mqtt.try_device_time(sent_at), properties
    );
END;
$$;
COMMENT ON FUNCTION mqtt.ingest_message(text, json, text, text, text, text, text, text, jsonb) IS
'Logs the device in by the headers of the request, checks its message and queues it: the general way of api.mqtt_ingest.';

CREATE OR REPLACE FUNCTION mqtt.quick_document(topic text, payload text, qos text, retain text, sent_at text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN mqtt.option_fault(qos, retain, NULL, sent_at) IS NULL AND octet_length(topic) <= 65535 AND mqtt.is_plain_topic(topic)
            AND octet_length(payload) <= 1000 AND NOT mqtt.has_many_brackets(payload) AND payload !~ '\\u|[eE][+-]?0*[1-9][0-9]{2}|[0-9]{20}'
            THEN mqtt.message_document(
                topic, payload::jsonb, coalesce(mqtt.try_qos(qos), 0), coalesce(mqtt.try_boolean(retain), false), NULL, mqtt.try_device_time(sent_at)
            )
    END;
END;
COMMENT ON FUNCTION mqtt.quick_document(text, text, text, text, text) IS
'A message as it stands in the queue, if there is nothing unusual about its topic, payload and options; else null. A part of api.mqtt_ingest.';

-- The fast way, for most messages: a login, a topic and a payload with nothing unusual about them, queued by one statement. PL/pgSQL sets up each
-- expression, column and function again for every message, so there are as few as possible. Everything else, including every refusal, is left to the
-- general way, mqtt.ingest_message. The payload is checked as in mqtt.quick_jsonb; as jsonb it has at most 32 times the bytes, hence the 32000.
CREATE OR REPLACE FUNCTION api.mqtt_ingest(
    topic text, payload json, qos json DEFAULT '0', retain json DEFAULT 'false', content_type text DEFAULT NULL,
    payload_encoding text DEFAULT NULL, message_id text DEFAULT NULL, "timestamp" json DEFAULT NULL, payload_format text DEFAULT NULL,
    response_topic text DEFAULT NULL, correlation_data text DEFAULT NULL, message_expiry json DEFAULT NULL, user_properties json DEFAULT NULL
) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_text CONSTANT text := payload;
    v_options CONSTANT integer := num_nonnulls(content_type, payload_encoding, message_id, payload_format, response_topic, correlation_data, message_expiry, user_properties);
    v_headers jsonb;
    v_login text;
    v_document jsonb;
    v_organization_id uuid;
    v_answer json;
BEGIN
    -- What is shorter has no room for mqtt.has_many_brackets.
    IF octet_length(v_text) < 258 AND v_text !~ '\\u|[eE][+-]?0*[1-9][0-9]{2}|[0-9]{20}' AND octet_length(topic) <= 65535 AND mqtt.is_plain_topic(topic)
        AND v_options = 0 AND qos::text = '0' AND retain::text = 'false' AND "timestamp" IS NULL THEN
        v_document := jsonb_build_object('topic', topic, 'payload', v_text::jsonb);
    ELSIF v_options = 0 THEN
        v_document := mqtt.quick_document(topic, v_text, qos #>> '{}', retain #>> '{}', "timestamp" #>> '{}');
    END IF;
    IF v_document IS NOT NULL THEN
        v_headers := nullif(current_setting('request.headers', true), '')::jsonb;
        v_login := coalesce(mqtt.basic_login(v_headers), (v_headers ->> 'x-username') || ':' || (v_headers ->> 'x-password'));
        INSERT INTO pgmq.q_mqtt_messages AS q (vt, message, organization_id, integration_id, credential_id)
        SELECT statement_timestamp(), v_document, c.organization_id, c.integration_id, c.id
        FROM mqtt.mqtt_credentials AS c
        WHERE c.username = split_part(v_login, ':', 1) AND c.client_id = v_headers ->> 'x-client-id'
            AND c.can_publish AND c.revoked_at IS NULL AND (c.expires_at <= now()) IS NOT TRUE
            AND mqtt.topic_is_under(mqtt_ingest.topic, c.topic_prefix) AND c.publish_filters IS NULL AND c.max_per_second IS NULL
            AND (SELECT i.status <> 'inactive' FROM mqtt.device_integrations AS i WHERE i.id = c.integration_id)
            AND (
                SELECT o.ingest_pause IS NULL AND o.max_queued IS NULL AND NOT o.has_all_topics AND (o.max_payload_bytes < 32000) IS NOT TRUE AND coalesce(o.max_per_second, o.max_bytes_per_second) IS NULL
                FROM mqtt.organizations AS o WHERE o.id = c.organization_id
            )
            AND (SELECT k.ingest_pause IS NULL AND k.max_payload_bytes >= 32000 FROM mqtt.configuration AS k)
            -- The costliest check comes last: the response time reveals nothing to a caller who does not know a client id.
            AND sha256(c.secret_salt || convert_to(substr(v_login, strpos(v_login, ':') + 1), 'UTF8')) = c.secret_hash
        RETURNING q.organization_id, json_build_object(
            'message_id', mqtt.keyed_message_id(q.enqueued_at, q.msg_id, (SELECT k.key FROM mqtt.message_id_key AS k)), 'status', 'queued'
        ) INTO v_organization_id, v_answer;
        IF found THEN
            UPDATE mqtt.ledger AS l
            SET accepted = l.accepted + 1
            WHERE l.organization_id = v_organization_id AND l.bucket = date_trunc('minute', now()) AND l.shard = mqtt.ledger_shard();
            IF NOT found THEN
                PERFORM mqtt.count_accepted(v_organization_id, 1);
            END IF;
            IF NOT pg_try_advisory_xact_lock_shared(mqtt.wakeup_lock(), hashtext('ingest')) THEN
                PERFORM mqtt.wake_bridge('ingest');
            END IF;
            RETURN CASE WHEN set_config('response.status', '202', true) IS NOT NULL THEN v_answer END;  -- PERFORM would be another query
        END IF;
    END IF;
    RETURN mqtt.ingest_message(topic, payload, qos::jsonb #>> '{}', retain::jsonb #>> '{}', content_type, payload_encoding, message_id,
        "timestamp"::jsonb #>> '{}', mqtt.sent_properties(payload_format, response_topic, correlation_data, message_expiry, user_properties));
END;
$$;
COMMENT ON FUNCTION api.mqtt_ingest(text, json, json, json, text, text, text, json, text, text, text, json, json) IS
$md$Send one message as a device

Log in with `Authorization: Basic base64(username:password)`, or with `X-Username` and `X-Password`, and always with `X-Client-ID`, as issued
by `generate_mqtt_credentials`. Takes a single message; `mqtt_ingest_batch` takes an array. Answers 202 `{"message_id", "status": "queued"}`
once the message is durable.

- `topic`: MQTT topic name below the credential's prefix
- `payload`: any JSON; with `payload_encoding` `base64` a string that contains the bytes, which are decoded according to `content_type`
- `qos` 0, 1 or 2; `retain` true or false (also 1 or 0)
- `timestamp`: when the device measured it, as RFC 3339 date and time, or seconds, milliseconds, microseconds or nanoseconds since 1970; where it
  is omitted, the payload's member `timestamp` or `ts` tells
- `payload_format` (`utf-8`), `response_topic`, `correlation_data` (base64), `message_expiry` (seconds), `user_properties` (object, or array of
  pairs): MQTT 5 properties, stored as those of a message that came over MQTT
- `message_id`: a UUID that you choose; a repeat within the idempotency window (24 hours) gets the same answer and is stored only once

A body of another Content-Type is the payload, and headers say the rest, as for `mqtt_ingest_binary`: `text/plain`, `text/xml`,
`application/octet-stream`. A form has the arguments as fields, whose values are texts.

Errors: 401 `invalid_credentials`; 403 `topic_not_allowed`, `topic_limit_reached`, `publish_not_allowed`, `integration_inactive`; 400
`message_invalid`, `payload_missing`, `topic_invalid`, `qos_invalid`, `retain_invalid`, `message_id_invalid`, `timestamp_invalid`,
`payload_invalid`, `payload_too_deep`, `payload_not_base64`, `payload_encoding_invalid`, `content_type_invalid`, `payload_format_invalid`, `response_topic_invalid`,
`correlation_data_invalid`, `message_expiry_invalid`, `user_properties_invalid`; 413 `payload_too_large`; 429 `too_many_wrong_passwords`,
`quota_exceeded`, `queue_paused`, with `Retry-After`.
Body: {"payload_encoding": "json|text|base64"}
Answer 202: {"message_id": "uuid", "status": "=queued"}$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_ingest(text, json, json, json, text, text, text, json, text, text, text, json, json) TO anon, authenticated, service_role;

-- Bodies without named arguments, which PostgREST passes on as they came, by their Content-Type. JSON comes here where its keys are not those above, or
-- where the query has columns=message: for unknown keys PostgREST would look for a function that resembles them, which takes seconds for a thousand
-- keys, before anyone has logged in.
CREATE OR REPLACE FUNCTION api.mqtt_ingest(json) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_object CONSTANT boolean := json_typeof($1) = 'object';
    v_fault text;
BEGIN
    v_fault := CASE
        WHEN NOT v_is_object THEN 'message_invalid'
        WHEN EXISTS (
            SELECT
            FROM json_object_keys(CASE WHEN v_is_object THEN $1 ELSE '{}' END) AS k (key)
            WHERE k.key <> ALL ('{topic,payload,qos,retain,content_type,payload_encoding,message_id,timestamp,payload_format,response_topic,correlation_data,message_expiry,user_properties}')
        ) THEN 'message_invalid'
        WHEN $1 -> 'payload' IS NULL THEN 'payload_missing'
    END;
    IF v_fault IS NOT NULL THEN
        PERFORM mqtt.refuse_message(v_fault, NULL, NULL, NULL);
    END IF;
    RETURN api.mqtt_ingest(
        $1 ->> 'topic', $1 -> 'payload', $1 -> 'qos', $1 -> 'retain', $1 ->> 'content_type', $1 ->> 'payload_encoding',
        $1 ->> 'message_id', $1 -> 'timestamp', $1 ->> 'payload_format', $1 ->> 'response_topic', $1 ->> 'correlation_data',
        $1 -> 'message_expiry', $1 -> 'user_properties'
    );
END;
$$;
COMMENT ON FUNCTION api.mqtt_ingest(json) IS
$md$Send one message as a device, the body being the message

What `mqtt_ingest` does with a body whose keys it does not have, and with `?columns=message`, for which PostgREST reads no key of the body.
Answer 202: {"message_id": "uuid", "status": "=queued"}$md$;

CREATE OR REPLACE FUNCTION api.mqtt_ingest(text) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.ingest_bytes(mqtt.whole_body($1), 'text/plain');
END;
$$;
COMMENT ON FUNCTION api.mqtt_ingest(text) IS
$md$Send one message as a device, its payload as text

As `mqtt_ingest_binary`, whose headers it takes; the body is text.
Answer 202: {"message_id": "uuid", "status": "=queued"}$md$;

CREATE OR REPLACE FUNCTION api.mqtt_ingest(xml) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.ingest_bytes(convert_to($1::text, 'UTF8'), 'text/xml');
END;
$$;
COMMENT ON FUNCTION api.mqtt_ingest(xml) IS
$md$Send one message as a device, its payload as XML

As `mqtt_ingest_binary`, whose headers it takes; the body is well-formed XML, and stored as text.
Answer 202: {"message_id": "uuid", "status": "=queued"}$md$;

CREATE OR REPLACE FUNCTION api.mqtt_ingest(bytea) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.ingest_bytes($1, 'application/octet-stream');
END;
$$;
COMMENT ON FUNCTION api.mqtt_ingest(bytea) IS
$md$Send one message as a device, its payload as raw bytes

As `mqtt_ingest_binary`.
Answer 202: {"message_id": "uuid", "status": "=queued"}$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_ingest(json), api.mqtt_ingest(text), api.mqtt_ingest(xml), api.mqtt_ingest(bytea) TO anon, authenticated, service_role;
COMMIT;
