-- Deploy topicbase:integrations/setting_rules to pg
-- requires: base/parse_values
-- requires: topics/patterns
-- requires: topics/templates
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.setting_names(integration_type text) RETURNS text []
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT ARRAY['topic_pattern', 'content_type', 'max_attempts', 'outbound_max_in_flight', 'inbound_max_per_second', 'status_topic', 'http_topic', 'offline_after']
        || CASE WHEN integration_type <> 'mqtt_hosted' THEN ARRAY[
            'broker_url', 'port', 'protocol', 'path', 'username', 'password', 'client_id', 'mqtt_version', 'clean_start', 'session_expiry',
            'keepalive', 'use_tls', 'verify_certificate', 'ca_certificate', 'client_certificate', 'client_key', 'server_name', 'alpn'
        ] ELSE '{}' END;
END;
COMMENT ON FUNCTION mqtt.setting_names(text) IS 'The names of the settings that an integration of this type may have.';

CREATE OR REPLACE FUNCTION mqtt.secret_setting_names() RETURNS text []
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT ARRAY['password', 'client_key'];
END;
COMMENT ON FUNCTION mqtt.secret_setting_names() IS 'The names of the settings that are sealed before they are stored and never shown.';

CREATE OR REPLACE FUNCTION mqtt.jsonb_integer_between(value jsonb, low bigint, high bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN jsonb_typeof(value) = 'number' THEN value::numeric = trunc(value::numeric) AND value::numeric BETWEEN low AND high ELSE false END;
END;
COMMENT ON FUNCTION mqtt.jsonb_integer_between(jsonb, bigint, bigint) IS 'Whether the value is a whole JSON number within the bounds.';

CREATE OR REPLACE FUNCTION mqtt.jsonb_text_reason(value jsonb, max_bytes integer) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN jsonb_typeof(value) <> 'string' OR value = '""' OR octet_length(value #>> '{}') > max_bytes
            THEN format('must be a string of 1 to %s bytes', max_bytes)
        WHEN value #>> '{}' ~ '[\u0001-\u001f\u007f-\u009f]' THEN 'must not have control characters'
    END;
END;
COMMENT ON FUNCTION mqtt.jsonb_text_reason(jsonb, integer) IS 'Why the value is not a JSON string of that size without control characters, as the end of a sentence; null if it is one.';

CREATE OR REPLACE FUNCTION mqtt.setting_reason(name text, value jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN name IN ('use_tls', 'verify_certificate', 'clean_start')
            THEN CASE WHEN jsonb_typeof(value) <> 'boolean' THEN 'must be true or false' END
        WHEN name IN ('port', 'outbound_max_in_flight')
            THEN CASE WHEN NOT mqtt.jsonb_integer_between(value, 1, 65535) THEN 'must be a whole number from 1 to 65535' END
        WHEN name = 'inbound_max_per_second'
            THEN CASE WHEN NOT mqtt.jsonb_integer_between(value, 1, 1000000) THEN 'must be a whole number from 1 to 1000000' END
        WHEN name = 'keepalive'
            THEN CASE WHEN NOT mqtt.jsonb_integer_between(value, 5, 65535) THEN 'must be a whole number of seconds from 5 to 65535' END
        WHEN name = 'offline_after'
            THEN CASE WHEN NOT mqtt.jsonb_integer_between(value, 60, 31622400) THEN 'must be a whole number of seconds from 60 to 31622400' END
        WHEN name = 'session_expiry'
            THEN CASE WHEN NOT mqtt.jsonb_integer_between(value, 0, 4294967295) THEN 'must be a whole number of seconds from 0 to 4294967295' END
        WHEN name = 'max_attempts'
            THEN CASE WHEN NOT mqtt.jsonb_integer_between(value, 1, 100) THEN 'must be a whole number from 1 to 100' END
        WHEN name = 'protocol'
            THEN CASE WHEN value NOT IN ('"mqtt"', '"mqtts"', '"ws"', '"wss"') THEN 'must be "mqtt", "mqtts", "ws" or "wss"' END
        WHEN name = 'mqtt_version'
            THEN CASE WHEN value NOT IN ('"3.1.1"', '"5"') THEN 'must be "3.1.1" or "5"' END
        WHEN name = 'content_type'
            THEN CASE
                WHEN value #>> '{}' !~ '^[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}( *; *[A-Za-z0-9!#$&^_.+-]+=("[^"]*"|[A-Za-z0-9!#$&^_.+-]+))*$'
                    THEN 'must be a media type, such as application/cbor'
                ELSE mqtt.jsonb_text_reason(value, 255)
            END
        WHEN name = 'path'
            THEN CASE WHEN value #>> '{}' !~ '^/[!-~]*$' THEN 'must start with / and consist of printable ASCII' ELSE mqtt.jsonb_text_reason(value, 1024) END
        WHEN name IN ('ca_certificate', 'client_certificate')
            THEN CASE
                WHEN jsonb_typeof(value) <> 'string' OR octet_length(value #>> '{}') > 524288
                    OR value #>> '{}' !~ '^\s*([^-]*\s)?-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----'
                    THEN 'must be one or more certificates in PEM form (-----BEGIN CERTIFICATE-----), at most 512 KiB'
            END
        WHEN name = 'alpn'
            THEN CASE
                WHEN jsonb_typeof(value) <> 'array' OR NOT jsonb_path_match(
                    value, '$.size() > 0 && $.size() <= 16 && !exists($[*] ? (@.type() != "string" || !(@ like_regex "^[!-~]{1,255}$")))'
                ) THEN 'must be an array of 1 to 16 protocol names, such as ["mqtt"]'
            END
        WHEN name = 'topic_pattern'
            THEN coalesce(mqtt.jsonb_text_reason(value, 1024), mqtt.topic_pattern_reason(value #>> '{}'))
        WHEN name = 'http_topic' THEN coalesce(mqtt.jsonb_text_reason(value, 500), 'is not a template: it ' || mqtt.template_reason(value #>> '{}'))
        WHEN name = 'status_topic'
            THEN coalesce(mqtt.jsonb_text_reason(value, 65535), 'is not a topic name: ' || mqtt.topic_name_reason(value #>> '{}'))
        WHEN name IN ('broker_url', 'username', 'client_id', 'server_name')
            THEN mqtt.jsonb_text_reason(value, CASE name WHEN 'username' THEN 65535 WHEN 'client_id' THEN 1024 WHEN 'server_name' THEN 253 ELSE 2048 END)
        WHEN jsonb_typeof(value) = 'object'
            THEN CASE
                WHEN value - '{sealed,key}'::text [] <> '{}' OR jsonb_typeof(value -> 'sealed') IS DISTINCT FROM 'string'
                    OR coalesce(octet_length(mqtt.try_base64(value ->> 'sealed')), 0) NOT BETWEEN 48 AND 65583
                    OR (value ? 'key' AND (jsonb_typeof(value -> 'key') <> 'string' OR value ->> 'key' !~ '^[0-9a-f]{16}$'))
                    THEN 'must be a string, or {"sealed": "<base64 of a libsodium sealed box>"}, optionally with "key", the id of the key'
            END
        WHEN jsonb_typeof(value) <> 'string' OR value = '""' OR octet_length(value #>> '{}') > 65535
            THEN 'must be a string of 1 to 65535 bytes, or {"sealed": "<base64 of a libsodium sealed box>"}'
    END;
END;
COMMENT ON FUNCTION mqtt.setting_reason(text, jsonb) IS
'Why the setting of that name cannot have this value, as the end of a sentence, which never has the value in it; null if it can.';
GRANT EXECUTE ON FUNCTION mqtt.setting_names(text), mqtt.secret_setting_names(), mqtt.jsonb_integer_between(jsonb, bigint, bigint),
mqtt.jsonb_text_reason(jsonb, integer), mqtt.setting_reason(text, jsonb) TO authenticated, service_role;
COMMIT;
