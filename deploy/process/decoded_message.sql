-- Deploy topicbase:process/decoded_message to pg
-- requires: base/decode_payload
-- requires: process/device_data
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.user_property(properties jsonb, name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT p.value ->> 1
        FROM jsonb_array_elements(
            CASE jsonb_typeof(properties -> 'user_properties') WHEN 'array' THEN properties -> 'user_properties' ELSE '[]' END
        ) WITH ORDINALITY AS p
        WHERE p.value ->> 0 = name
        ORDER BY p.ordinality
        LIMIT 1
    );
END;
$$;
COMMENT ON FUNCTION mqtt.user_property(jsonb, text) IS 'The first MQTT 5 user property of that name among a message''s properties; null when there is none.';

CREATE OR REPLACE FUNCTION mqtt.decoded_message(
    message jsonb, body bytea, received_at timestamptz, content_type text, topic_like text, topic_levels smallint, device_level smallint,
    message_type_level smallint, max_time_behind interval, max_time_ahead interval
)
RETURNS TABLE (
    topic text, qos smallint, retain boolean, content_type text, properties jsonb, payload jsonb, body bytea, decode_error text, sent_at timestamptz,
    measured_at timestamptz, external_id text, message_type text, topic_role text, role text
)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    SELECT
        s.topic, coalesce((message ->> 'qos')::smallint, 0), coalesce((message ->> 'retain')::boolean, false),
        -- Without a type, text and a JSON string are the same payload; this tells which came with its quotes.
        CASE
            WHEN substr(decoded_message.body, 1, 1) = '"' AND coalesce(message ->> 'content_type', decoded_message.content_type) IS NULL
                AND jsonb_typeof(s.payload) = 'string' AND convert_to(s.payload #>> '{}', 'UTF8') <> decoded_message.body
                THEN 'application/json'
            ELSE message ->> 'content_type'
        END,
        s.properties, s.payload, s.body,
        coalesce(s.decode_error, CASE
            WHEN octet_length(s.levels[device_level]) > 255 THEN 'the device id in the topic has more than 255 bytes, so that no device has this message'
        END),
        s.sent_at, mqtt.plausible_time(s.sent_at, received_at, max_time_behind, max_time_ahead),
        mqtt.device_name(s.levels[device_level]), nullif(s.levels[message_type_level], ''), mqtt.message_role(s.levels[message_type_level]),
        CASE
            WHEN decoded_message.body = '' OR (s.payload = 'null' AND s.body IS NULL) THEN 'ignore'
            ELSE mqtt.message_role(s.levels[message_type_level])
        END
    FROM (
        SELECT
            d.topic, d.properties, coalesce((d.decoded).payload, message -> 'payload', 'null') AS payload, (d.decoded).body, (d.decoded).decode_error,
            mqtt.matched_levels(d.topic, topic_like, topic_levels) AS levels,
            coalesce(
                (message ->> 'timestamp')::timestamptz,
                CASE WHEN d.properties ? 'user_properties' THEN mqtt.try_device_time(mqtt.user_property(d.properties, 'timestamp')) END,
                mqtt.payload_time(coalesce((d.decoded).payload, message -> 'payload'))
            ) AS sent_at
        FROM (
            SELECT
                message ->> 'topic' AS topic, message -> 'properties' AS properties,
                CASE
                    WHEN decoded_message.body IS NOT NULL
                        THEN mqtt.decode_payload(coalesce(message ->> 'content_type', decoded_message.content_type), decoded_message.body)
                END AS decoded
            -- Decoded once, not for each of its fields.
            OFFSET 0
        ) AS d
        OFFSET 0
    ) AS s;
END;
COMMENT ON FUNCTION mqtt.decoded_message(jsonb, bytea, timestamptz, text, text, smallint, smallint, smallint, interval, interval) IS
'A queued message (message, body) as it is stored: its payload decoded by its content type, else the integration''s; its time as the sender gave it, or a user property, or the payload; the device and message type that its topic names; the role of its topic and its own (ignore where it is empty). A part of the statement that asks.';
COMMIT;
