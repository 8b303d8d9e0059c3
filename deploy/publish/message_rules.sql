-- Deploy topicbase:publish/message_rules to pg
-- requires: ingest/message_properties
-- requires: integrations/setting_rules
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- STABLE, because format is: a function declared stricter than what it calls is not inlined. The same goes for the functions below.
CREATE OR REPLACE FUNCTION mqtt.payload_reason(payload jsonb, encoding jsonb) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN payload IS NULL THEN 'payload is missing; use null for an empty one.'
        WHEN coalesce(encoding, 'null') NOT IN ('null', '"json"', '"text"', '"base64"') THEN 'payload_encoding must be json, text or base64.'
        WHEN encoding IN ('"text"', '"base64"') AND jsonb_typeof(payload) <> 'string'
            THEN format('payload must be a string if payload_encoding is %s.', encoding #>> '{}')
        -- With null on one side, AND evaluates the other: without coalesce every payload would be tried as base64.
        WHEN coalesce(encoding, 'null') = '"base64"' AND mqtt.try_base64(payload #>> '{}') IS NULL THEN 'payload is not base64 (RFC 4648 section 4).'
    END;
END;
COMMENT ON FUNCTION mqtt.payload_reason(jsonb, jsonb) IS 'Why the payload cannot be published in that encoding, in words; null when it can.';

CREATE OR REPLACE FUNCTION mqtt.publish_reason(message jsonb) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN jsonb_typeof(message) <> 'object' THEN 'A message must be an object.'
        WHEN message - '{topic,payload,payload_encoding,qos,retain,content_type,payload_format,response_topic,correlation_data,message_expiry,user_properties,deliver_at}'::text [] <> '{}'
            THEN 'A message must not have keys other than topic, payload, payload_encoding, qos, retain, content_type, payload_format, response_topic, correlation_data, message_expiry, user_properties and deliver_at.'
        WHEN jsonb_typeof(message -> 'topic') IS DISTINCT FROM 'string' THEN 'topic is missing or not a string.'
        WHEN mqtt.outbound_topic_reason(message ->> 'topic') IS NOT NULL THEN mqtt.outbound_topic_reason(message ->> 'topic')
        WHEN mqtt.payload_reason(message -> 'payload', message -> 'payload_encoding') IS NOT NULL
            THEN mqtt.payload_reason(message -> 'payload', message -> 'payload_encoding')
        WHEN message -> 'qos' NOT IN ('null', '0', '1', '2') THEN 'qos must be 0, 1 or 2.'
        WHEN message -> 'retain' NOT IN ('null', 'true', 'false') THEN 'retain must be true or false.'
        WHEN message ->> 'content_type' IS NOT NULL AND mqtt.jsonb_text_reason(message -> 'content_type', 255) IS NOT NULL
            THEN 'content_type ' || mqtt.jsonb_text_reason(message -> 'content_type', 255) || '.'
        WHEN message -> 'payload_format' NOT IN ('null', '"utf-8"') OR (message ->> 'payload_format' IS NOT NULL AND message ->> 'payload_encoding' = 'base64')
            THEN 'payload_format must be utf-8 or missing, and missing if payload_encoding is base64.'
        WHEN message ->> 'response_topic' IS NOT NULL
            AND (jsonb_typeof(message -> 'response_topic') <> 'string' OR mqtt.topic_name_reason(message ->> 'response_topic') IS NOT NULL)
            THEN 'response_topic is not a topic name. ' || coalesce(mqtt.topic_name_reason(message ->> 'response_topic'), '')
        WHEN message ->> 'correlation_data' IS NOT NULL AND NOT coalesce(
            CASE jsonb_typeof(message -> 'correlation_data')
                WHEN 'string' THEN octet_length(mqtt.try_base64(message ->> 'correlation_data')) <= 65535
            END, false
        ) THEN 'correlation_data must be base64 (RFC 4648 section 4) of at most 65,535 bytes.'
        WHEN message ->> 'message_expiry' IS NOT NULL AND NOT mqtt.jsonb_integer_between(message -> 'message_expiry', 1, 4294967295)
            THEN 'message_expiry must be a whole number of seconds from 1 to 4294967295.'
        WHEN message ->> 'user_properties' IS NOT NULL AND mqtt.user_properties_reason(message -> 'user_properties') IS NOT NULL
            THEN mqtt.user_properties_reason(message -> 'user_properties')
        WHEN message ->> 'deliver_at' IS NOT NULL AND NOT coalesce(
            CASE jsonb_typeof(message -> 'deliver_at')
                WHEN 'string' THEN mqtt.try_timestamptz(message ->> 'deliver_at') < now() + interval '1 year'
            END, false
        ) THEN 'deliver_at must be an RFC 3339 date and time, at most a year from now.'
    END;
END;
COMMENT ON FUNCTION mqtt.publish_reason(jsonb) IS 'Why the message cannot be published, in words; null when it can.';

CREATE OR REPLACE FUNCTION mqtt.outbound_body(payload jsonb, encoding text) RETURNS bytea
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN encoding = 'base64' THEN mqtt.try_base64(payload #>> '{}')
        WHEN encoding IS NULL AND payload = 'null' THEN ''
        WHEN encoding = 'text' OR (encoding IS NULL AND jsonb_typeof(payload) = 'string') THEN convert_to(payload #>> '{}', 'UTF8')
    END;
END;
COMMENT ON FUNCTION mqtt.outbound_body(jsonb, text) IS
'The payload as bytes, where they differ from its JSON text: base64, text, and without an encoding strings, and null, which is empty.';

CREATE OR REPLACE FUNCTION mqtt.outbound_bytes(payload jsonb, body bytea) RETURNS integer
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(octet_length(body), octet_length(payload::text));
END;
COMMENT ON FUNCTION mqtt.outbound_bytes(jsonb, bytea) IS 'Size of a payload as it is sent: of its body (mqtt.outbound_body), or else of its JSON text.';

CREATE OR REPLACE FUNCTION mqtt.outbound_document(message jsonb) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        -- The usual message is its own document.
        WHEN message - '{topic,payload,qos}'::text [] = '{}' AND coalesce(message ->> 'qos', '0') IN ('0', '1', '2')
            THEN CASE WHEN message ->> 'qos' IN ('1', '2') THEN message ELSE message - 'qos' END
        ELSE
            jsonb_strip_nulls(message - '{payload,payload_encoding,deliver_at,qos,retain,message_expiry}'::text [])
            || CASE WHEN coalesce(message ->> 'qos', '0')::numeric > 0 THEN jsonb_build_object('qos', (message ->> 'qos')::numeric::integer) ELSE '{}' END
            || CASE WHEN message -> 'retain' = 'true' THEN '{"retain": true}'::jsonb ELSE '{}' END
            || CASE
                WHEN message ->> 'message_expiry' IS NOT NULL
                    THEN jsonb_build_object('message_expiry', (message ->> 'message_expiry')::numeric::bigint)
                ELSE '{}'
            END
            || CASE WHEN message ->> 'payload_encoding' = 'base64' THEN '{}' ELSE jsonb_build_object('payload', message -> 'payload') END
    END;
END;
COMMENT ON FUNCTION mqtt.outbound_document(jsonb) IS 'A valid message as pgmq.q_mqtt_outbound.message stores it: without defaults, and without the payload if it is bytes. Text is stored twice: here, where it can be read, and in body, as it is sent.';
COMMIT;
