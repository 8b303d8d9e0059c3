-- Deploy topicbase:topics/templates to pg
-- requires: base/json_paths
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.template_parts(template text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_parts jsonb := '[]';
    v_text text;
    v_held text;
    v_levels text [];
BEGIN
    -- Strings within a placeholder may have braces.
    FOR v_text, v_held IN
        SELECT m[1], m[2] FROM regexp_matches(template, '([^{}]+)|\{((?:"(?:\\.|[^"\\])*"|[^{}"])*)\}', 'g') AS m
    LOOP
        v_levels := regexp_match(v_held, '^topic\[(-?[0-9]{1,4})(:)?(-?[0-9]{1,4})?\]$');
        v_parts := v_parts || CASE
            WHEN v_text IS NOT NULL THEN jsonb_build_object('text', v_text)
            WHEN v_held = 'login' THEN '{"login": true}'
            WHEN v_levels IS NOT NULL THEN jsonb_build_object(
                'from', v_levels[1]::integer, 'to', CASE WHEN v_levels[2] IS NULL THEN v_levels[1] ELSE coalesce(v_levels[3], '-1') END::integer
            )
            ELSE jsonb_build_object('paths', (SELECT jsonb_agg(btrim(p.path)) FROM regexp_split_to_table(v_held, '\s\|\s') AS p (path)))
        END;
    END LOOP;
    RETURN v_parts;
END;
$$;
COMMENT ON FUNCTION mqtt.template_parts(text) IS
'A template, such as {topic[2]}/{$.id}, in its parts: [{"from": 2, "to": 2}, {"text": "/"}, {"paths": ["$.id"]}].';

CREATE OR REPLACE FUNCTION mqtt.template_reason(template text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_left CONSTANT text := regexp_replace(template, '[^{}]+|\{(?:"(?:\\.|[^"\\])*"|[^{}"])*\}', '', 'g');
    v_reason text;
BEGIN
    IF template = '' OR octet_length(template) > 500 THEN
        RETURN 'must have 1 to 500 bytes';
    ELSIF v_left <> '' THEN
        RETURN format('has a brace without its partner: %s', v_left);
    END IF;
    SELECT format('{%s}: %s', p.path, CASE
        WHEN p.path !~ '^\$' THEN 'is none of {topic[2]}, {topic[2:-1]}, {$.path} and {login}'
        ELSE mqtt.path_reason(p.path)
    END) INTO v_reason
    FROM jsonb_array_elements(mqtt.template_parts(template)) AS t
    CROSS JOIN LATERAL jsonb_array_elements_text(t.value -> 'paths') AS p (path)
    WHERE p.path !~ '^\$' OR mqtt.path_reason(p.path) IS NOT NULL
    LIMIT 1;
    IF v_reason IS NULL AND jsonb_path_exists(mqtt.template_parts(template), '$[*] ? (@.from == 0 || @.to == 0)') THEN
        RETURN 'counts the levels of a topic from 1, or from -1 backwards';
    END IF;
    RETURN v_reason;
END;
$$;
COMMENT ON FUNCTION mqtt.template_reason(text) IS 'Why this is not a template, as the end of a sentence with the place; null if it is one.';

CREATE OR REPLACE FUNCTION mqtt.filled_template(parts jsonb, levels text [], document jsonb, variables jsonb, login text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_count CONSTANT integer := cardinality(levels);
    v_part jsonb;
    v_piece text;
    v_whole text := '';
BEGIN
    FOREACH v_part IN ARRAY ARRAY(SELECT jsonb_array_elements(parts)) LOOP
        v_piece := CASE
            WHEN v_part ? 'from' THEN array_to_string(
                levels[
                    CASE WHEN (v_part -> 'from')::integer < 0 THEN v_count + 1 ELSE 0 END + (v_part -> 'from')::integer
                    :CASE WHEN (v_part -> 'to')::integer < 0 THEN v_count + 1 ELSE 0 END + (v_part -> 'to')::integer
                ], '/'
            )
            WHEN v_part ? 'text' THEN v_part ->> 'text'
            WHEN v_part ? 'login' THEN login
            ELSE (
                SELECT f.found #>> '{}'
                FROM jsonb_array_elements_text(v_part -> 'paths') WITH ORDINALITY AS p (path, ordinality)
                CROSS JOIN LATERAL jsonb_path_query_first(document, p.path::jsonpath, variables, true) AS f (found)
                WHERE jsonb_typeof(f.found) IN ('string', 'number', 'boolean')
                ORDER BY p.ordinality
                LIMIT 1
            )
        END;
        IF coalesce(v_piece, '') = '' THEN
            RETURN NULL;
        END IF;
        v_whole := v_whole || v_piece;
    END LOOP;
    RETURN v_whole;
END;
$$;
COMMENT ON FUNCTION mqtt.filled_template(jsonb, text [], jsonb, jsonb, text) IS
'What a template (its parts) makes of a message: the levels of its topic, its payload and its login; null where one of them has nothing there.';

CREATE OR REPLACE FUNCTION mqtt.scalar_text(value jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN jsonb_typeof(value) IN ('string', 'number', 'boolean') THEN nullif(value #>> '{}', '') END;
END;
COMMENT ON FUNCTION mqtt.scalar_text(jsonb) IS 'A string, number or boolean as text; null for what is empty or anything else.';
GRANT EXECUTE ON FUNCTION mqtt.template_parts(text), mqtt.template_reason(text), mqtt.filled_template(jsonb, text [], jsonb, jsonb, text),
mqtt.scalar_text(jsonb) TO authenticated, service_role;
COMMIT;
