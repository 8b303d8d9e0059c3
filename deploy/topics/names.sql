-- Deploy topicbase:topics/names to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.has_forbidden_character(value text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT value ~ (
        '[\u0001-\u001f\u007f-\u009f\ufdd0-\ufdef\ufffe\uffff'
        || '\U0001fffe\U0001ffff\U0002fffe\U0002ffff\U0003fffe\U0003ffff\U0004fffe\U0004ffff\U0005fffe\U0005ffff\U0006fffe\U0006ffff'
        || '\U0007fffe\U0007ffff\U0008fffe\U0008ffff\U0009fffe\U0009ffff\U000afffe\U000affff\U000bfffe\U000bffff\U000cfffe\U000cffff'
        || '\U000dfffe\U000dffff\U000efffe\U000effff\U000ffffe\U000fffff\U0010fffe\U0010ffff]'
    );
END;
COMMENT ON FUNCTION mqtt.has_forbidden_character(text) IS
'Whether the text contains a control character or a non-character of any plane, for which brokers close the connection (MQTT 5 section 1.5.4).';

CREATE OR REPLACE FUNCTION mqtt.is_plain_topic(topic text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT topic ~ '^[A-Za-z0-9_./:@=,;() -]+$';
END;
COMMENT ON FUNCTION mqtt.is_plain_topic(text) IS
'Whether the text consists of characters that no rule for topic names forbids, as most do: one check instead of several. Its length is not checked.';

CREATE OR REPLACE FUNCTION mqtt.topic_name_reason(topic text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN octet_length(topic) <= 65535 AND mqtt.is_plain_topic(topic) THEN NULL
        WHEN topic IS NULL OR topic = '' THEN 'A topic name must have at least one character.'
        WHEN octet_length(topic) > 65535 THEN 'A topic name must have at most 65,535 bytes in UTF-8.'
        WHEN topic ~ '[+#]' THEN 'A topic to publish to must not contain the wildcards + and #.'
        WHEN starts_with(topic, '$') THEN 'Topic names that start with $ belong to the broker.'
        WHEN mqtt.has_forbidden_character(topic) THEN 'A topic name must not contain control characters or non-characters.'
    END;
END;
COMMENT ON FUNCTION mqtt.topic_name_reason(text) IS
'Why this is not a topic name that can be published to, as a sentence; null if it is one (MQTT 5 sections 1.5.4, 4.7.1, 4.7.3).';

CREATE OR REPLACE FUNCTION mqtt.outbound_topic_reason(topic text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN topic ~ '^\$(?!(SYS|share)(/|$))[^/+#]' THEN mqtt.topic_name_reason(substr(topic, 2))
        ELSE mqtt.topic_name_reason(topic)
    END;
END;
COMMENT ON FUNCTION mqtt.outbound_topic_reason(text) IS
'The same of a topic that the bridge publishes to: what starts with $ belongs to the broker, and brokers let clients publish to such as $aws/… and $iothub/… (MQTT 5 section 4.7.2), though not to $SYS.';

CREATE OR REPLACE FUNCTION mqtt.topic_is_under(topic text, prefix text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT starts_with(topic, prefix || '/');
END;
COMMENT ON FUNCTION mqtt.topic_is_under(text, text) IS
'Whether a topic name or filter lies below a prefix of whole levels: org_a allows org_a/x, never org_ab/x.';
GRANT EXECUTE ON FUNCTION mqtt.has_forbidden_character(text), mqtt.is_plain_topic(text), mqtt.topic_name_reason(text), mqtt.outbound_topic_reason(text),
mqtt.topic_is_under(text, text)
TO authenticated, service_role;
COMMIT;
