-- Deploy topicbase:integrations/payload_rules to pg
-- requires: base/codecs
-- requires: base/parse_values
-- requires: tables/payload_rules
-- requires: topics/patterns
-- requires: topics/templates
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.refuse_rule(place text, reason text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'payload_rule_invalid' USING
            ERRCODE = 'PT400', DETAIL = format('%s %s.', place, rtrim(reason, '.')), HINT = 'try_payload_rules shows what the rules make of a message.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.refuse_rule(text, text) IS 'Raises PT400 payload_rule_invalid if there is a reason.';

CREATE OR REPLACE FUNCTION mqtt.decode_reason(decode text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN decode !~ '^(sparkplug|((hex|base64|gzip|zlib) ){0,4}(hex|base64|json|text|cbor|msgpack|influx|csv|cayenne|senml|senml-cbor|binary|protobuf))$'
            THEN 'must be sparkplug, json, text, cbor, msgpack, influx, csv, cayenne, senml, senml-cbor, binary or protobuf, '
                || 'all but the first with hex, base64, gzip or zlib before it where it is inside these: base64 cbor'
    END;
END;
COMMENT ON FUNCTION mqtt.decode_reason(text) IS 'Why this is not a way to decode payloads, as the end of a sentence; null if it is one.';

CREATE OR REPLACE FUNCTION mqtt.protobuf_layout(layout jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT layout ? 'descriptor_set' THEN
        RETURN layout;
    ELSIF to_regprocedure('mqtt.py_protobuf_layout(bytea, text)') IS NULL THEN
        PERFORM mqtt.refuse_rule('layout', 'cannot be read from a descriptor set: this server has no PL/Python (see mqtt.codecs())');
    ELSIF jsonb_typeof(layout -> 'message') IS DISTINCT FROM 'string' OR mqtt.try_base64(layout ->> 'descriptor_set') IS NULL THEN
        PERFORM mqtt.refuse_rule('layout', 'must be {"descriptor_set": "<base64>", "message": "acme.v1.Reading"}');
    END IF;
    RETURN mqtt.py_protobuf_layout(mqtt.try_base64(layout ->> 'descriptor_set'), layout ->> 'message');
EXCEPTION
    WHEN external_routine_exception THEN
        PERFORM mqtt.refuse_rule('layout', 'is not read: ' || left(regexp_replace(sqlerrm, '^\w+Error: ', ''), 200));
        RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.protobuf_layout(jsonb) IS 'The layout of protobuf with its descriptor set read into types and enums. Raises PT400 payload_rule_invalid.';

CREATE OR REPLACE FUNCTION mqtt.protobuf_layout_reason(layout jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN layout IS NULL OR jsonb_typeof(layout) <> 'object' OR layout - '{message,types,enums}'::text [] <> '{}'
            OR jsonb_typeof(layout -> 'types') IS DISTINCT FROM 'object' OR NOT coalesce((layout -> 'types') ? (layout ->> 'message'), false)
            THEN 'must be {"descriptor_set": "<base64>", "message": "acme.v1.Reading"}, or what that was read into: {"message", "types", "enums"}'
        WHEN octet_length(layout::text) > 262144 THEN 'must have at most 256 KiB'
        WHEN jsonb_path_exists(layout, 'strict $.types.* ? (@.type() != "array")', '{}', true)
            OR jsonb_path_exists(layout, 'strict $.enums ? (@.type() != "object" || exists(@.* ? (@.type() != "object")))', '{}', true)
            OR jsonb_path_exists(
                layout, 'lax $.types.*[*] ? (!(@.number.type() == "number") || !(@.name.type() == "string") || !(@.type.type() == "string"))'
            )
            THEN 'must have types of [{"number", "name", "type"}] and enums of {number: label}'
    END;
END;
COMMENT ON FUNCTION mqtt.protobuf_layout_reason(jsonb) IS 'Why this is not the layout of protobuf, as the end of a sentence; null if it is.';

CREATE OR REPLACE FUNCTION mqtt.layout_reason(decode text, layout jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_decode CONSTANT text := coalesce(substring(decode, '[a-z-]+$'), '');
    v_field record;
BEGIN
    IF v_decode = 'protobuf' THEN
        RETURN mqtt.protobuf_layout_reason(layout);
    ELSIF layout IS NULL THEN
        RETURN CASE v_decode WHEN 'binary' THEN 'is missing: binary needs [{"format", "name", "scale"}]' END;
    ELSIF v_decode NOT IN ('binary', 'csv') THEN
        RETURN 'is for binary, csv and protobuf only';
    ELSIF jsonb_typeof(layout) <> 'array' OR jsonb_array_length(layout) NOT BETWEEN 1 AND 100 THEN
        RETURN 'must be an array of 1 to 100 members';
    END IF;
    FOR v_field IN SELECT f.value, f.ordinality AS place, v_decode = 'csv' AS is_column FROM jsonb_array_elements(layout) WITH ORDINALITY AS f LOOP
        CASE
            WHEN v_field.is_column AND (jsonb_typeof(v_field.value) NOT IN ('string', 'null') OR length(v_field.value #>> '{}') > 200) THEN
                RETURN format('member %s must be the name of a column, of at most 200 characters, or null', v_field.place);
            WHEN v_field.is_column THEN
                NULL;
            WHEN jsonb_typeof(v_field.value) <> 'object' OR v_field.value - '{format,name,scale}'::text [] <> '{}' THEN
                RETURN format('member %s must be {"format", "name", "scale"}', v_field.place);
            WHEN coalesce(v_field.value ->> 'format', '') !~ '^[<>]?([bBhHiIqQefd?]|[1-9][0-9]{0,3}[sx])$' THEN
                RETURN format('member %s: format must be one of b B h H i I q Q e f d ? after < or >, or such as 12s (text) or 3x (skipped)', v_field.place);
            WHEN right(v_field.value ->> 'format', 1) = 'x' THEN
                CONTINUE;
            WHEN jsonb_typeof(v_field.value -> 'name') IS DISTINCT FROM 'string' OR length(v_field.value ->> 'name') NOT BETWEEN 1 AND 200 THEN
                RETURN format('member %s: name must have 1 to 200 characters', v_field.place);
            WHEN NOT coalesce(v_field.value ->> 'scale', '1') ~ '^(/[0-9]{1,15}(\.[0-9]{1,15})?|-?[0-9]{1,15}(\.[0-9]{1,15})?)$'
                OR coalesce(v_field.value ->> 'scale', '1') ~ '^[/0.-]*$' OR (jsonb_typeof(v_field.value -> 'scale') = 'string') <> ((v_field.value ->> 'scale') LIKE '/%') THEN
                RETURN format('member %s: scale must be a number, or one after / to divide by: "/100"', v_field.place);
            ELSE
                NULL;
        END CASE;
    END LOOP;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.layout_reason(text, jsonb) IS 'Why this is not the layout of what a rule decodes, as the end of a sentence; null if it is.';

CREATE OR REPLACE FUNCTION mqtt.condition_reason(path text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF mqtt.path_reason(path) IS NOT NULL THEN
        RETURN mqtt.path_reason(path);
    ELSIF NOT jsonb_path_exists(jsonb_path_query_array('{}', path::jsonpath, '{"root": null, "parent": null}', true), '$[0] ? (@.type() == "boolean" || @ == null)') THEN
        RETURN 'is a path, but no predicate, such as $.type == "up" or exists($.temperature)';
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.condition_reason(text) IS 'Why this is not the condition of a payload rule, as the end of a sentence with the place; null if it is.';

CREATE OR REPLACE FUNCTION mqtt.rule_metrics(metrics jsonb) RETURNS TABLE (name text, path text, type text)
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT m.key, p.path, coalesce(CASE jsonb_typeof(m.value) WHEN 'object' THEN m.value ->> 'type' END, '')
    FROM jsonb_each(metrics) WITH ORDINALITY AS m
    LEFT JOIN LATERAL (
        SELECT CASE jsonb_typeof(m.value) WHEN 'object' THEN m.value -> 'path' ELSE m.value END AS value
    ) AS v ON true
    LEFT JOIN LATERAL jsonb_array_elements_text(
        CASE jsonb_typeof(v.value) WHEN 'array' THEN v.value WHEN 'string' THEN jsonb_build_array(v.value) WHEN 'null' THEN NULL ELSE '[""]' END
    ) WITH ORDINALITY AS p (path, ordinality) ON true
    ORDER BY m.ordinality, p.ordinality;
END;
COMMENT ON FUNCTION mqtt.rule_metrics(jsonb) IS 'A rule''s metrics: each name with its paths, in their order, and type; path null: left out by *.';

CREATE OR REPLACE FUNCTION mqtt.metrics_reason(metrics jsonb) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT r.reason
    FROM (
        SELECT 'has more than 100 names and paths' AS reason, 1 AS place
        WHERE (SELECT count(*) FROM mqtt.rule_metrics(metrics)) > 100
        UNION ALL
        SELECT format('%s: ', to_json(m.name)) || coalesce(
            'the name ' || mqtt.template_reason(nullif(regexp_replace(m.name, '\*$', ''), '')),
            CASE WHEN m.type NOT IN ('', 'number', 'string', 'boolean') THEN 'type is none of number, string and boolean' END,
            CASE
                WHEN jsonb_typeof(metrics -> m.name) NOT IN ('string', 'array', 'object', 'null') OR m.path = ''
                    THEN 'is not a path, an array of paths, {"path", "type"} or null'
                WHEN m.path IS NOT NULL THEN 'the path ' || mqtt.path_reason(m.path)
            END
        ), 2
        FROM mqtt.rule_metrics(metrics) AS m
    ) AS r
    WHERE r.reason IS NOT NULL
    ORDER BY r.place
    LIMIT 1;
END;
COMMENT ON FUNCTION mqtt.metrics_reason(jsonb) IS 'Why these are not the metrics of a payload rule, as the end of a sentence with the place; null if they are.';

CREATE OR REPLACE FUNCTION mqtt.time_reason("time" jsonb) RETURNS text
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof("time") IS DISTINCT FROM 'object' OR jsonb_typeof("time" -> 'path') IS DISTINCT FROM 'string'
        OR "time" - '{path,unit,zone}'::text [] <> '{}' THEN
        RETURN 'must be {"path"}, with "unit" or "zone" if needed';
    ELSIF "time" -> 'unit' NOT IN ('"s"', '"ms"', '"us"', '"ns"') THEN
        RETURN 'unit must be s, ms, us or ns; without it, numbers are told apart by their size, and strings are RFC 3339';
    END IF;
    IF "time" ? 'zone' THEN
        PERFORM now() AT TIME ZONE ("time" ->> 'zone');
    END IF;
    RETURN 'path ' || mqtt.path_reason("time" ->> 'path');
EXCEPTION
    WHEN invalid_parameter_value THEN
        RETURN 'zone is not a time zone, such as Europe/Berlin';
END;
$$;
COMMENT ON FUNCTION mqtt.time_reason(jsonb) IS 'Why this is not the time of a payload rule, as the end of a sentence; null if it is.';

CREATE OR REPLACE FUNCTION mqtt.check_payload_rule() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.decode ~ '\mprotobuf$' THEN
        NEW.layout := mqtt.protobuf_layout(NEW.layout);
    END IF;
    PERFORM mqtt.refuse_rule(r.place, r.reason)
    FROM (VALUES
        ('topic', mqtt.topic_filter_reason(NEW.topic)),
        ('topic', CASE WHEN starts_with(NEW.topic, '$share/') THEN 'must not start with $share/' END),
        ('topic', CASE WHEN octet_length(NEW.topic) > 1024 THEN 'must have at most 1,024 bytes' END),
        ('condition', mqtt.condition_reason(NEW.condition)),
        ('device', mqtt.template_reason(NEW.device)),
        ('device', CASE WHEN NEW.device IS NULL AND NEW.role NOT IN ('ignore', 'command') THEN 'is missing: without one the role must be ignore or command' END),
        ('decode', mqtt.decode_reason(NEW.decode)),
        ('layout', mqtt.layout_reason(NEW.decode, NEW.layout)),
        ('time', CASE WHEN NEW."time" IS NOT NULL THEN mqtt.time_reason(NEW."time") END),
        ('metrics', mqtt.metrics_reason(NEW.metrics)),
        ('presence', mqtt.path_reason(NEW.presence)),
        ('samples', (
            SELECT min(coalesce(mqtt.path_reason(s.path), CASE WHEN s.path IS NULL THEN 'must not have null' END)) FROM unnest(NEW.samples) AS s (path)
        ))
    ) AS r (place, reason)
    WHERE r.reason IS NOT NULL;
    NEW.topic_prefix := mqtt.topic_filter_prefix(NEW.topic);
    SELECT l.topic_like, l.topic_levels INTO NEW.topic_like, NEW.topic_levels FROM mqtt.topic_filter_levels(NEW.topic) AS l;
    NEW.condition_path := NEW.condition;
    NEW.device_parts := mqtt.template_parts(NEW.device);
    NEW.device_level := substring(NEW.device, '^\{topic\[([0-9]{1,4})\]\}$');
    NEW.sample_paths := NEW.samples;
    NEW.time_path := NEW."time" ->> 'path';
    NEW.presence_path := coalesce(NEW.presence, CASE NEW.role WHEN 'status' THEN '$' END);
    SELECT
        coalesce(array_agg(m.name) FILTER (WHERE m.path IS NOT NULL), '{}'), coalesce(array_agg(m.path) FILTER (WHERE m.path IS NOT NULL), '{}'),
        coalesce(array_agg(m.type) FILTER (WHERE m.path IS NOT NULL), '{}'), coalesce(array_agg(m.name) FILTER (WHERE m.path IS NULL), '{}'),
        coalesce(array_agg(CASE WHEN m.name LIKE '%{%' THEN mqtt.template_parts(m.name) END) FILTER (WHERE m.path IS NOT NULL), '{}')
    INTO NEW.metric_names, NEW.metric_paths, NEW.metric_types, NEW.omitted, NEW.metric_parts
    FROM mqtt.rule_metrics(NEW.metrics) AS m
    WHERE NEW.role IN ('telemetry', 'event', 'attributes');
    NEW.needs_variables := concat_ws(' ', NEW.device, NEW.samples, NEW."time", NEW.metrics, NEW.presence) ~ '\$(root|parent)\M';
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION mqtt.check_payload_rule() IS 'Trigger: checks a payload rule, and compiles it into the columns that the queue worker reads.';
CREATE OR REPLACE TRIGGER a_check
BEFORE INSERT OR UPDATE ON mqtt.payload_rules
FOR EACH ROW EXECUTE FUNCTION mqtt.check_payload_rule();
GRANT EXECUTE ON FUNCTION mqtt.refuse_rule(text, text), mqtt.decode_reason(text), mqtt.protobuf_layout(jsonb),
mqtt.protobuf_layout_reason(jsonb), mqtt.layout_reason(text, jsonb), mqtt.condition_reason(text),
mqtt.rule_metrics(jsonb), mqtt.metrics_reason(jsonb), mqtt.time_reason(jsonb)
TO authenticated, service_role;
COMMIT;
