-- Deploy topicbase:topics/patterns to pg
-- requires: topics/filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.default_topic_pattern() RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT '{organization_prefix}/devices/{device_id}/{message_type}';
END;
COMMENT ON FUNCTION mqtt.default_topic_pattern() IS 'The topic pattern of integrations that do not set one.';

CREATE OR REPLACE FUNCTION mqtt.topic_pattern_reason(pattern text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN octet_length(pattern) > 1024 THEN 'must have at most 1,024 bytes'
        WHEN (SELECT count(*) FROM string_to_table(pattern, '/') AS l (level) WHERE l.level = '{device_id}') <> 1
            THEN 'must have {device_id} as exactly one of its levels'
        WHEN (SELECT count(*) FROM string_to_table(pattern, '/') AS l (level) WHERE l.level = '{message_type}') > 1
            THEN 'may have {message_type} as one level only'
        WHEN pattern LIKE '_%{organization_prefix}%' THEN 'may have {organization_prefix} as its first level only'
        WHEN EXISTS (
            SELECT FROM string_to_table(pattern, '/') AS l (level)
            WHERE l.level ~ '[{}]' AND l.level NOT IN ('{organization_prefix}', '{device_id}', '{message_type}')
        ) THEN 'may have no placeholders other than {organization_prefix}, {device_id} and {message_type}, each as a whole level'
        WHEN starts_with(pattern, '$share/') THEN 'must not start with $share/'
        ELSE 'is not a topic filter: ' || mqtt.topic_filter_reason(regexp_replace(pattern, '\{[a-z_]+\}', '+', 'g'))
    END;
END;
COMMENT ON FUNCTION mqtt.topic_pattern_reason(text) IS
'Why this is not a topic pattern, as the end of a sentence; null if it is one: levels of text, + (any), {organization_prefix}, {device_id}, {message_type}, and # at the end.';

CREATE OR REPLACE FUNCTION mqtt.topic_pattern_levels(pattern text, organization_prefix text)
RETURNS TABLE (topic_like text, topic_levels smallint, device_level smallint, message_type_level smallint)
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT
        f.topic_like, f.topic_levels, array_position(l.levels, '{device_id}')::smallint,
        coalesce(array_position(l.levels, '{message_type}'), 0)::smallint
    FROM (SELECT string_to_array(replace(pattern, '{organization_prefix}', organization_prefix), '/') AS levels) AS l
    CROSS JOIN LATERAL mqtt.topic_filter_levels(
        array_to_string(array_replace(array_replace(l.levels, '{device_id}', '+'), '{message_type}', '+'), '/')
    ) AS f;
END;
COMMENT ON FUNCTION mqtt.topic_pattern_levels(text, text) IS
'The topic pattern as mqtt.matched_levels takes it, and the levels of device id and message type, counted from 1 (0: none).';

CREATE OR REPLACE FUNCTION mqtt.message_type_of_topic(topic text, topic_like text, topic_levels smallint, message_type_level smallint) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT nullif((mqtt.matched_levels(topic, topic_like, topic_levels))[message_type_level], '');
END;
COMMENT ON FUNCTION mqtt.message_type_of_topic(text, text, smallint, smallint) IS
'The message type that a topic names, by its integration''s topic pattern; null when it names none.';

CREATE OR REPLACE FUNCTION mqtt.message_role(message_type text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN message_type = 'telemetry' THEN 'telemetry'
        WHEN lower(message_type COLLATE "C") = ANY ('{command,commands,cmd,cmnd,set,get,rpc,request,downlink}') THEN 'command'
        WHEN lower(message_type COLLATE "C") = ANY ('{status,lwt,will,availability,online,connection,presence,birth,death}') THEN 'status'
        WHEN lower(message_type COLLATE "C") = ANY ('{event,events,log,logs,alarm,alarms,alert,alerts}') THEN 'event'
        WHEN lower(message_type COLLATE "C") = ANY ('{attributes,config,configuration,info,meta,metadata,settings}') THEN 'attributes'
        ELSE 'telemetry'
    END;
END;
COMMENT ON FUNCTION mqtt.message_role(text) IS
'What a message is by the message type that its topic names: command (to the device), status, event, attributes, or telemetry, which is any other and also no message type.';

CREATE OR REPLACE FUNCTION mqtt.device_prefix(pattern text, organization_prefix text, external_id text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN h.head !~ '[+{]' THEN h.head || external_id END
    FROM (SELECT replace(split_part(pattern, '{device_id}', 1), '{organization_prefix}', organization_prefix) AS head) AS h;
END;
COMMENT ON FUNCTION mqtt.device_prefix(text, text, text) IS
'The topic prefix that only this device''s topics have; null if the pattern has a variable level before the device id.';
GRANT EXECUTE ON FUNCTION mqtt.default_topic_pattern(), mqtt.message_role(text), mqtt.topic_pattern_reason(text), mqtt.topic_pattern_levels(text, text),
mqtt.device_prefix(text, text, text) TO authenticated, service_role;
COMMIT;
