-- Deploy topicbase:process/interpret_message to pg
-- requires: process/interpretation
-- requires: process/rule_values
-- requires: topics/templates
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.rule_metrics_of(
    rule mqtt.payload_rules, levels text [], document jsonb, variables jsonb, login text, most integer
) RETURNS mqtt.found_metrics
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_names text [] := '{}';
    v_values jsonb [] := '{}';
    v_all jsonb := '{}';
    v_size bigint := 0;
    v_name text;
    v_value jsonb;
    v_found mqtt.found_metrics;
BEGIN
    FOR i IN 1..cardinality(rule.metric_names) LOOP
        v_name := rule.metric_names[i];
        v_value := jsonb_path_query_first(document, rule.metric_paths[i], variables, true);
        CONTINUE WHEN v_value IS NULL;
        IF rule.metric_parts[i] IS NOT NULL THEN
            v_name := mqtt.filled_template(rule.metric_parts[i], levels, document, variables, login);
            IF octet_length(v_name) > 255 THEN
                RETURN ROW('{}', 'the name of a metric has more than 255 bytes')::mqtt.found_metrics;
            END IF;
        END IF;
        -- What $root leads to may be all of the message, for each metric of each sample.
        v_size := v_size + octet_length(v_value::text) + coalesce(octet_length(v_name), 0)
            * CASE WHEN right(v_name, 1) = '*' AND jsonb_typeof(v_value) = 'object' THEN (SELECT count(*) FROM jsonb_object_keys(v_value)) ELSE 1 END;
        IF v_size > 4 * most THEN
            RETURN ROW('{}', format('its metrics have more than %s KiB', most / 1024))::mqtt.found_metrics;
        END IF;
        IF right(v_name, 1) = '*' THEN
            IF jsonb_typeof(v_value) = 'object' THEN
                v_value := mqtt.flat_members(v_value) - rule.omitted;
                IF v_name <> '*' THEN
                    v_value := (SELECT jsonb_object_agg(left(v_name, -1) || e.key, e.value) FROM jsonb_each(v_value) AS e);
                END IF;
                v_all := v_all || coalesce(v_value, '{}');
            ELSIF v_name = '*' THEN
                v_all := v_all || jsonb_build_object('value', v_value);
            END IF;
        ELSIF v_name IS NOT NULL AND v_name <> ALL (v_names) THEN
            IF rule.metric_types[i] <> '' AND v_value <> 'null' THEN
                v_value := mqtt.typed_value(v_value, rule.metric_types[i]);
                IF v_value IS NULL THEN
                    v_found.reason := coalesce(v_found.reason, format('%s is not a %s', v_name, rule.metric_types[i]));
                    CONTINUE;
                END IF;
            END IF;
            -- A quotient has as many digits as fit.
            IF jsonb_typeof(v_value) = 'number' AND scale(v_value::numeric) > 15 THEN
                v_value := to_jsonb(trim_scale(v_value::numeric));
            END IF;
            v_names := array_append(v_names, v_name);
            v_values := array_append(v_values, v_value);
        END IF;
    END LOOP;
    v_found.data := v_all || (SELECT coalesce(jsonb_object_agg(c.name, c.value), '{}') FROM unnest(v_names, v_values) AS c (name, value));
    RETURN v_found;
END;
$$;
COMMENT ON FUNCTION mqtt.rule_metrics_of(mqtt.payload_rules, text [], jsonb, jsonb, text, integer) IS
'The metrics that a rule finds in a sample, and why one of them is missing. Those that are named win over those of *; of several paths the first that leads to something. most: the bytes that they may have; what is to be read for them may have four times as many.';

CREATE OR REPLACE FUNCTION mqtt.metadata_of(data jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_metadata jsonb := '{}';
    v_member record;
    v_path text [];
BEGIN
    FOR v_member IN SELECT d.key, d.value FROM jsonb_each(data) AS d WHERE d.value <> 'null' LOOP
        v_path := (string_to_array(v_member.key, '/'))[1:8];
        FOR i IN 1..cardinality(v_path) - 1 LOOP
            IF jsonb_typeof(v_metadata #> v_path[1:i]) IS DISTINCT FROM 'object' THEN
                v_metadata := jsonb_set(v_metadata, v_path[1:i], '{}');
            END IF;
        END LOOP;
        v_metadata := jsonb_set(v_metadata, v_path, v_member.value);
    END LOOP;
    RETURN v_metadata;
END;
$$;
COMMENT ON FUNCTION mqtt.metadata_of(jsonb) IS 'Attributes as metadata: the names a/b of an object as nested members.';

CREATE OR REPLACE FUNCTION mqtt.rule_samples(rule mqtt.payload_rules, document jsonb) RETURNS TABLE (item jsonb, variables jsonb)
LANGUAGE plpgsql STABLE SECURITY INVOKER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_root CONSTANT jsonb := CASE WHEN rule.needs_variables THEN jsonb_build_object('root', document, 'parent', NULL) ELSE '{}' END;
BEGIN
    RETURN QUERY
    WITH RECURSIVE sample AS (
        SELECT rule_samples.document AS found, v_root AS known, 1 AS step
        UNION ALL
        SELECT q.found, CASE WHEN rule.needs_variables THEN s.known || jsonb_build_object('parent', s.found) ELSE s.known END, s.step + 1
        FROM sample AS s
        CROSS JOIN LATERAL jsonb_path_query(s.found, rule.sample_paths[s.step], s.known, true) AS q (found)
        WHERE s.step <= cardinality(rule.sample_paths)
    )
    SELECT s.found, s.known
    FROM sample AS s
    WHERE s.step = cardinality(rule.sample_paths) + 1
    LIMIT 1001;
END;
$$;
COMMENT ON FUNCTION mqtt.rule_samples(mqtt.payload_rules, jsonb) IS 'The samples in a message, each with what its paths may name ($root, $parent); at most 1,001.';

CREATE OR REPLACE FUNCTION mqtt.flat_metrics(rule mqtt.payload_rules, value jsonb) RETURNS mqtt.found_metrics
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT ROW(CASE
        WHEN value IS NULL THEN '{}'
        WHEN jsonb_typeof(value) <> 'object' THEN jsonb_build_object('value', value)
        WHEN jsonb_path_exists(value, 'strict $.* ? (@.type() == "object" || @.type() == "array")') THEN mqtt.flat_members(value) - (rule).omitted
        ELSE value - (rule).omitted
    END, NULL)::mqtt.found_metrics;
END;
COMMENT ON FUNCTION mqtt.flat_metrics(mqtt.payload_rules, jsonb) IS 'What a rule whose metrics are * alone finds at its path. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.template_text(rule mqtt.payload_rules, levels text [], item jsonb, variables jsonb, login text) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN (rule).device_level IS NOT NULL THEN nullif(levels[(rule).device_level], '')
        WHEN (rule).device_path IS NOT NULL THEN mqtt.scalar_text(jsonb_path_query_first(item, (rule).device_path, variables, true))
        WHEN (rule).device_parts IS NOT NULL THEN mqtt.filled_template((rule).device_parts, levels, item, variables, login)
    END;
END;
COMMENT ON FUNCTION mqtt.template_text(mqtt.payload_rules, text [], jsonb, jsonb, text) IS
'The device of a sample as its rule names it; null where there is none. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.most_metrics(number integer) RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN number <= 16 THEN 65536 ELSE greatest(1048576 / number, 4096) END;
END;
COMMENT ON FUNCTION mqtt.most_metrics(integer) IS
'The bytes that the metrics of a message''s sample of that number may have: each could repeat what all of them have in common. Of a thousand samples about 7 MiB. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.interpreted_item(rule mqtt.payload_rules, levels text [], item jsonb, variables jsonb, login text, number integer)
RETURNS TABLE (name text, sent_at timestamptz, presence text, data jsonb, fault text, reason text)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    SELECT
        t.name, t.sent_at, t.presence, CASE WHEN t.is_large THEN '{}' ELSE (t.found).data END, t.fault,
        coalesce(
            CASE WHEN (rule).presence_path IS NOT NULL AND t.presence IS NULL THEN 'presence is neither online nor offline' END,
            CASE WHEN t.time_value IS NOT NULL AND t.sent_at IS NULL THEN 'time is none of the unit said' END,
            (t.found).reason, CASE WHEN t.is_large THEN format('its metrics have more than %s KiB', mqtt.most_metrics(number) / 1024) END
        )
    FROM (
        SELECT
            v.*, CASE WHEN v.time_value IS NOT NULL THEN mqtt.rule_time(v.time_value, (rule).time ->> 'unit', (rule).time ->> 'zone') END AS sent_at,
            octet_length((v.found).data::text) > mqtt.most_metrics(number) AS is_large,
            CASE
                WHEN (rule).device IS NOT NULL AND (v.name IS NULL OR octet_length(v.name) > 255 OR v.name ~ '[\u0001-\u001f\u007f-\u009f]')
                    THEN 'the template device yields no name of 1 to 255 bytes'
            END AS fault
        FROM (
            SELECT
                mqtt.template_text(rule, levels, item, variables, login) AS name,
                jsonb_path_query_first(item, (rule).time_path, variables, true) AS time_value,
                mqtt.presence_state(jsonb_path_query_first(item, (rule).presence_path, variables, true)) AS presence,
                CASE
                    WHEN (rule).is_flat THEN mqtt.flat_metrics(rule, jsonb_path_query_first(item, (rule).metric_paths[1], variables, true))
                    WHEN (rule).metric_names <> '{}' THEN mqtt.rule_metrics_of(rule, levels, item, variables, login, mqtt.most_metrics(number))
                END AS found
            OFFSET 0
        ) AS v
        OFFSET 0
    ) AS t;
END;
COMMENT ON FUNCTION mqtt.interpreted_item(mqtt.payload_rules, text [], jsonb, jsonb, text, integer) IS
'What a rule makes of one sample, of that number; fault: why there is nothing at all; variables hold root and parent. A part of the statement that asks.';
COMMIT;
