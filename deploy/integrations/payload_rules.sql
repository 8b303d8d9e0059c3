-- Deploy topicbase:integrations/payload_rules to pg
-- requires: integrations/rule_layouts
-- requires: integrations/transform_reason
-- requires: tables/payload_rules
-- requires: topics/patterns
-- requires: topics/templates
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.decode_reason(decode text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN decode !~ ('^(sparkplug|((hex|base64|gzip|zlib) ){0,4}(hex|base64|json|text|cbor|msgpack|influx|csv|cayenne|senml|senml-cbor|binary|protobuf)'
            || '( of \$(\.(\w{1,100}|"[^"\\]{1,100}")){1,8})?)$')
            THEN 'must be sparkplug, json, text, cbor, msgpack, influx, csv, cayenne, senml, senml-cbor, binary or protobuf, all but the first with hex, '
                || 'base64, gzip or zlib before it where it is inside these, and with the member that it is in: base64 cbor, base64 binary of $.data'
    END;
END;
COMMENT ON FUNCTION mqtt.decode_reason(text) IS 'Why this is not a way to decode payloads, as the end of a sentence; null if it is one.';

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
    IF NEW.decode ~ '\mprotobuf( of |$)' THEN
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
        ('transform', mqtt.transform_reason(NEW.transform)),
        ('time', CASE WHEN NEW."time" IS NOT NULL THEN mqtt.time_reason(NEW."time") END),
        ('metrics', mqtt.metrics_reason(NEW.metrics)),
        ('presence', mqtt.path_reason(NEW.presence)),
        ('offline_after', CASE WHEN NEW.offline_after NOT BETWEEN 60 AND 31622400 THEN 'must be a whole number of seconds from 60 to 31622400' END),
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
    NEW.device_path := CASE
        WHEN jsonb_array_length(NEW.device_parts) = 1 AND jsonb_array_length(NEW.device_parts #> '{0,paths}') = 1 THEN NEW.device_parts #>> '{0,paths,0}'
    END;
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
    NEW.needs_login := concat_ws(' ', NEW.device, NEW.metrics) LIKE '%{login}%';
    NEW.is_flat := NEW.metric_names = '{*}' AND NEW.metric_types = '{""}';
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION mqtt.check_payload_rule() IS 'Trigger: checks a payload rule, and compiles it into the columns that the queue worker reads.';
CREATE OR REPLACE TRIGGER a_check
BEFORE INSERT OR UPDATE ON mqtt.payload_rules
FOR EACH ROW EXECUTE FUNCTION mqtt.check_payload_rule();
GRANT EXECUTE ON FUNCTION mqtt.decode_reason(text), mqtt.condition_reason(text), mqtt.rule_metrics(jsonb), mqtt.metrics_reason(jsonb),
mqtt.time_reason(jsonb) TO authenticated, service_role;
COMMIT;
