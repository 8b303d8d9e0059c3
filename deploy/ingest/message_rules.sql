-- Deploy topicbase:ingest/message_rules to pg
-- requires: base/parse_values
-- requires: topics/filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.ingest_fault(topic text, qos integer, payload_bytes integer, prefix text, filters text [], max_bytes integer) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN mqtt.topic_name_reason(topic) IS NOT NULL THEN 'topic_invalid'
        WHEN NOT mqtt.topic_is_under(topic, prefix) THEN 'topic_not_allowed'
        WHEN filters IS NOT NULL AND NOT mqtt.topic_matches_any(filters, topic) THEN 'topic_not_allowed'
        WHEN qos IS NULL OR qos NOT BETWEEN 0 AND 2 THEN 'qos_invalid'
        WHEN payload_bytes > max_bytes THEN 'payload_too_large'
    END;
END;
COMMENT ON FUNCTION mqtt.ingest_fault(text, integer, integer, text, text [], integer) IS
'Slug of the first rule that the message breaks; null when it may be queued.';

-- One rule for all doors: what is JSON in a body comes here as its text, what is a header as it is.
CREATE OR REPLACE FUNCTION mqtt.option_fault(qos text, retain text, message_id text, sent_at text) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN qos IS NOT NULL AND mqtt.try_qos(qos) IS NULL THEN 'qos_invalid'
        WHEN retain IS NOT NULL AND mqtt.try_boolean(retain) IS NULL THEN 'retain_invalid'
        WHEN NOT mqtt.is_uuid(message_id) THEN 'message_id_invalid'
        WHEN sent_at IS NOT NULL AND mqtt.try_device_time(sent_at) IS NULL THEN 'timestamp_invalid'
    END;
END;
COMMENT ON FUNCTION mqtt.option_fault(text, text, text, text) IS
'Slug of the first of a message''s options that is none; null when each may be used (mqtt.try_qos, try_boolean, is_uuid, try_device_time) or is missing.';

CREATE OR REPLACE FUNCTION mqtt.fault_reason(slug text, topic text DEFAULT NULL) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE slug
        WHEN 'topic_invalid' THEN CASE
            WHEN topic IS NULL THEN 'The message has no topic: in JSON it is the member topic, beside bytes the header X-Topic.'
            ELSE coalesce(mqtt.topic_name_reason(topic), 'A topic is a string.')
        END
        WHEN 'topic_not_allowed' THEN 'This credential may not publish to that topic.'
        WHEN 'topic_limit_reached' THEN 'The organization uses as many topics as this installation allows, and this would be another one.'
        WHEN 'qos_invalid' THEN 'QoS is 0, 1 or 2.'
        WHEN 'payload_too_large' THEN 'The payload is larger than this installation accepts.'
        WHEN 'payload_too_deep' THEN 'The JSON is nested more than 128 levels deep.'
        WHEN 'payload_missing' THEN 'The message has no payload; send null for an empty one.'
        WHEN 'payload_not_base64' THEN 'payload_encoding is base64, but the payload is no base64 string (RFC 4648 section 4).'
        WHEN 'payload_encoding_invalid' THEN 'payload_encoding is json, text or base64.'
        WHEN 'retain_invalid' THEN 'retain is true or false.'
        WHEN 'message_id_invalid' THEN 'message_id is a UUID.'
        WHEN 'timestamp_invalid' THEN 'timestamp is an RFC 3339 date and time, or the time since 1970 in seconds, milliseconds, microseconds or nanoseconds.'
        WHEN 'content_type_invalid' THEN 'content_type is a string of at most 255 bytes.'
        WHEN 'payload_format_invalid' THEN 'payload_format is utf-8, and the payload is.'
        WHEN 'response_topic_invalid' THEN 'response_topic is a topic name.'
        WHEN 'correlation_data_invalid' THEN 'correlation_data is base64 (RFC 4648 section 4) of at most 65,535 bytes.'
        WHEN 'message_expiry_invalid' THEN 'message_expiry is a whole number of seconds from 1 to 4294967295.'
        WHEN 'user_properties_invalid' THEN 'user_properties is an object of strings or an array of pairs of strings, of at most 65,535 bytes.'
        WHEN 'quota_exceeded' THEN 'More messages a second than this device or its organization may send.'
        WHEN 'message_invalid' THEN
            'A message is an object of topic, payload, qos, retain, content_type, payload_encoding, message_id, timestamp, payload_format, response_topic, '
            'correlation_data, message_expiry and user_properties, and nothing else.'
    END;
END;
COMMENT ON FUNCTION mqtt.fault_reason(text, text) IS 'The slug in words.';

CREATE OR REPLACE FUNCTION mqtt.refuse_message(slug text, topic text, prefix text, max_bytes integer) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '%', slug USING
        ERRCODE = CASE WHEN slug IN ('topic_not_allowed', 'topic_limit_reached') THEN 'PT403' WHEN slug = 'payload_too_large' THEN 'PT413' ELSE 'PT400' END,
        DETAIL = mqtt.fault_reason(slug, topic),
        HINT = CASE slug
            WHEN 'topic_not_allowed' THEN format('Topics start with %s/ and match the credential''s filters, if it has any.', prefix)
            WHEN 'topic_limit_reached' THEN 'Use topics that the organization has used before; put what differs from message to message into the payload.'
            WHEN 'payload_too_large' THEN format('A payload has at most %s bytes.', max_bytes)
            WHEN 'timestamp_invalid' THEN 'Send one such as 2026-02-19T12:00:00Z, 1771502400, 1771502400000, 1771502400000000 or 1771502400000000000.'
            ELSE 'The API reference lists the rules for each argument.'
        END;
END;
$$;
COMMENT ON FUNCTION mqtt.refuse_message(text, text, text, integer) IS 'Raises the slug with its HTTP status (400, 403 or 413), its words and a hint.';
COMMIT;
