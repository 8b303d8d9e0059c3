-- Deploy topicbase:process/interpret_message to pg
-- requires: process/interpretation
-- requires: process/rule_values
-- requires: topics/templates
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.rule_metrics_of(
    rule mqtt.payload_rules, levels text [], document jsonb, variables jsonb, login text, OUT data jsonb, OUT reason text
)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_chosen jsonb := '{}';
    v_all jsonb := '{}';
    v_name text;
    v_value jsonb;
BEGIN
    FOR i IN 1..cardinality(rule.metric_names) LOOP
        v_name := rule.metric_names[i];
        v_value := jsonb_path_query_first(document, rule.metric_paths[i], variables, true);
        CONTINUE WHEN v_value IS NULL;
        IF rule.metric_parts[i] IS NOT NULL THEN
            v_name := mqtt.filled_template(rule.metric_parts[i], levels, document, variables, login);
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
        ELSIF v_name IS NOT NULL AND NOT v_chosen ? v_name THEN
            IF rule.metric_types[i] <> '' AND v_value <> 'null' THEN
                v_value := mqtt.typed_value(v_value, rule.metric_types[i]);
                IF v_value IS NULL THEN
                    reason := coalesce(reason, format('%s is not a %s', v_name, rule.metric_types[i]));
                    CONTINUE;
                END IF;
            END IF;
            -- A quotient has as many digits as fit.
            IF jsonb_typeof(v_value) = 'number' AND scale(v_value::numeric) > 15 THEN
                v_value := to_jsonb(trim_scale(v_value::numeric));
            END IF;
            v_chosen := v_chosen || jsonb_build_object(v_name, v_value);
        END IF;
    END LOOP;
    data := v_all || v_chosen;
    IF octet_length(data::text) > 65536 THEN
        data := '{}';
        reason := 'its metrics have more than 64 KiB';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.rule_metrics_of(mqtt.payload_rules, text [], jsonb, jsonb, text) IS
'The metrics that a rule finds in a sample, and why one of them is missing. Those that are named win over those of *; of several paths the first that leads to something.';

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

CREATE OR REPLACE FUNCTION mqtt.interpreted_sample(
    rule mqtt.payload_rules, levels text [], document jsonb, variables jsonb, login text, sample integer
) RETURNS mqtt.interpretation
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_found mqtt.interpretation;
    v_state text;
    v_value jsonb;
BEGIN
    v_found.rule_id := rule.id;
    v_found.sample := sample;
    v_found.role := rule.role;
    IF rule.device_parts IS NOT NULL THEN
        v_found.external_id := CASE
            WHEN rule.device_level IS NULL THEN mqtt.filled_template(rule.device_parts, levels, document, variables, login)
            ELSE nullif(levels[rule.device_level], '')
        END;
        IF v_found.external_id IS NULL OR octet_length(v_found.external_id) > 255 OR v_found.external_id ~ '[\u0001-\u001f\u007f-\u009f]' THEN
            v_found.external_id := NULL;
            v_found.reason := 'the template device yields no name of 1 to 255 bytes';
            RETURN v_found;
        END IF;
    END IF;
    IF rule.time_path IS NOT NULL THEN
        v_value := jsonb_path_query_first(document, rule.time_path, variables, true);
        v_found.sent_at := mqtt.rule_time(v_value, rule."time" ->> 'unit', rule."time" ->> 'zone');
        IF v_value IS NOT NULL AND v_found.sent_at IS NULL THEN
            v_found.reason := 'time is none of the unit said';
        END IF;
    END IF;
    IF rule.presence_path IS NOT NULL THEN
        v_state := mqtt.presence_state(jsonb_path_query_first(document, rule.presence_path, variables, true));
        IF v_state IS NULL THEN
            v_found.reason := 'presence is neither online nor offline';
        ELSE
            v_found.facts := jsonb_build_object('presence', v_state);
        END IF;
    END IF;
    IF cardinality(rule.metric_names) > 0 THEN
        SELECT m.data, coalesce(v_found.reason, m.reason) INTO v_found.data, v_found.reason
        FROM mqtt.rule_metrics_of(rule, levels, document, variables, login) AS m;
        IF rule.role = 'attributes' THEN
            v_found.facts := coalesce(v_found.facts, '{}') || jsonb_build_object('metadata', mqtt.metadata_of(v_found.data));
            v_found.data := NULL;
        ELSIF v_found.data = '{}' THEN
            v_found.data := NULL;
            v_found.reason := coalesce(v_found.reason, 'none of its metrics is there');
        END IF;
    END IF;
    RETURN v_found;
END;
$$;
COMMENT ON FUNCTION mqtt.interpreted_sample(mqtt.payload_rules, text [], jsonb, jsonb, text, integer) IS 'What a rule makes of one sample; variables hold root and parent.';

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
COMMIT;
