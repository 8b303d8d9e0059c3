-- Deploy topicbase:ingest/message_properties to pg
-- requires: base/parse_values
-- requires: topics/names
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.user_properties_reason(value jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN octet_length(value::text) > 65535 THEN 'user_properties has more than 65,535 bytes.'
        WHEN jsonb_typeof(value) = 'object' AND NOT jsonb_path_exists(value, 'strict $.* ? (@.type() != "string")') THEN NULL
        WHEN jsonb_typeof(value) = 'array' AND NOT EXISTS (
            SELECT
            FROM jsonb_array_elements(CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE '[]' END) AS e (pair)
            WHERE NOT CASE jsonb_typeof(e.pair)
                WHEN 'array' THEN jsonb_array_length(e.pair) = 2 AND jsonb_typeof(e.pair -> 0) = 'string' AND jsonb_typeof(e.pair -> 1) = 'string'
                ELSE false
            END
        ) THEN NULL
        ELSE 'user_properties must be an object of strings or an array of pairs of strings.'
    END;
END;
COMMENT ON FUNCTION mqtt.user_properties_reason(jsonb) IS 'Why the value is not valid MQTT 5 user properties (section 3.3.2.3.7), in words; null when it is.';

CREATE OR REPLACE FUNCTION mqtt.is_utf8(body bytea) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN convert_from(body, 'UTF8') IS NOT NULL OR body IS NULL;
EXCEPTION
    WHEN character_not_in_repertoire OR untranslatable_character THEN
        RETURN false;
END;
$$;
COMMENT ON FUNCTION mqtt.is_utf8(bytea) IS 'Whether the bytes are UTF-8 text without a zero byte; true for null.';

CREATE OR REPLACE FUNCTION mqtt.try_jsonb(value text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN value::jsonb;
EXCEPTION
    WHEN data_exception OR statement_too_complex THEN
        RETURN 'false';
END;
$$;
COMMENT ON FUNCTION mqtt.try_jsonb(text) IS 'The JSON text as jsonb; false where it is none, or jsonb cannot hold it.';

CREATE OR REPLACE FUNCTION mqtt.sent_properties(
    payload_format text, response_topic text, correlation_data text, message_expiry json, user_properties json
) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN num_nonnulls(payload_format, response_topic, correlation_data, message_expiry, user_properties) > 0 THEN jsonb_build_object(
            'payload_format', payload_format, 'response_topic', response_topic, 'correlation_data', correlation_data,
            'message_expiry', message_expiry #>> '{}', 'user_properties', mqtt.try_jsonb(user_properties::text)
        )
    END;
END;
COMMENT ON FUNCTION mqtt.sent_properties(text, text, text, json, json) IS 'A message''s MQTT 5 properties as its keys; null where it has none.';

CREATE OR REPLACE FUNCTION mqtt.properties_fault(message jsonb, body bytea) RETURNS text
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Few messages have one: a call for these, and no part of the statement that asks.
    RETURN CASE
        -- As text, which is what a single message's arguments and a binary message's headers are.
        WHEN message ->> 'response_topic' IS NOT NULL AND mqtt.topic_name_reason(message ->> 'response_topic') IS NOT NULL THEN 'response_topic_invalid'
        WHEN message ->> 'correlation_data' IS NOT NULL AND (octet_length(mqtt.try_base64(message ->> 'correlation_data')) <= 65535) IS NOT TRUE
            THEN 'correlation_data_invalid'
        WHEN message ->> 'message_expiry' IS NOT NULL AND NOT CASE
            WHEN message ->> 'message_expiry' ~ '^[0-9]{1,10}$' THEN (message ->> 'message_expiry')::bigint BETWEEN 1 AND 4294967295 ELSE false
        END THEN 'message_expiry_invalid'
        WHEN message ->> 'user_properties' IS NOT NULL AND mqtt.user_properties_reason(message -> 'user_properties') IS NOT NULL
            THEN 'user_properties_invalid'
        WHEN message ->> 'payload_format' IS NOT NULL AND (message ->> 'payload_format' <> 'utf-8' OR NOT mqtt.is_utf8(body)) THEN 'payload_format_invalid'
    END;
END;
$$;
COMMENT ON FUNCTION mqtt.properties_fault(jsonb, bytea) IS
'Slug of the first MQTT 5 property among a message''s keys that is none; null when each may be used or is missing. body: its payload where that is bytes.';

CREATE OR REPLACE FUNCTION mqtt.message_properties(message jsonb) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT nullif(jsonb_strip_nulls(jsonb_build_object(
        'response_topic', message ->> 'response_topic',
        'correlation_data', message ->> 'correlation_data',
        'message_expiry', (message ->> 'message_expiry')::bigint,
        'payload_format', message -> 'payload_format',
        'user_properties', CASE jsonb_typeof(message -> 'user_properties')
            WHEN 'array' THEN nullif(message -> 'user_properties', '[]')
            WHEN 'object' THEN (SELECT jsonb_agg(jsonb_build_array(p.key, p.value) ORDER BY p.key) FROM jsonb_each_text(message -> 'user_properties') AS p)
        END
    )), '{}');
END;
COMMENT ON FUNCTION mqtt.message_properties(jsonb) IS
'The MQTT 5 properties among a message''s keys in the form in which a bridge hands them over; null when it has none. Only for what mqtt.properties_fault finds nothing with.';
COMMIT;
