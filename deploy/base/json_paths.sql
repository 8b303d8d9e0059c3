-- Deploy topicbase:base/json_paths to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.is_much_to_compile(pattern text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- What a set may stand for: one of so many different characters.
    v_variety CONSTANT integer := (
        SELECT 1 + count(DISTINCT m[1]) FROM regexp_matches(regexp_replace(pattern, '\{[0-9,]*\}', '', 'g'), '([^][(){}*+?|^$.\\])', 'g') AS m
    );
    v_token text;
    v_times double precision [];
    -- Of each group that is open; and of what was last.
    v_arcs double precision [] := '{0}';
    v_loops double precision [] := '{0}';
    v_last_arcs double precision := 0;
    v_last_loops double precision := 0;
    v_is_group boolean := false;
    d integer := 1;
BEGIN
    FOR v_token IN
        SELECT m[1] FROM regexp_matches(pattern, '(\\.|\[\^?\]?(?:\[:[a-z]+:\]|[^]])*\]|\(\?:|[*+?]\??|\{[0-9,]+\}\??|.)', 'g') AS m
    LOOP
        IF v_token IN ('(', '(?:') THEN
            d := d + 1;
            v_arcs[d] := 0;
            v_loops[d] := 0;
        ELSIF v_token = ')' AND d > 1 THEN
            v_last_arcs := v_arcs[d];
            v_last_loops := v_loops[d];
            v_is_group := true;
            d := d - 1;
            v_arcs[d] := v_arcs[d] + v_last_arcs;
            v_loops[d] := v_loops[d] + v_last_loops;
        ELSIF v_token ~ '^([*+?]|\{[0-9])' THEN
            -- At least and at most so often; of what is repeated as it is, much less comes of the difference.
            v_times := string_to_array(substring(v_token FROM '\{([0-9]+(,[0-9]+)?)'), ',')::double precision [];
            v_times := ARRAY[greatest(v_times[cardinality(v_times)], 1), CASE
                WHEN v_token !~ '^\{' OR v_token ~ ',\}' THEN 1
                WHEN cardinality(v_times) = 1 THEN 0
                WHEN v_is_group THEN v_times[2] - v_times[1]
                ELSE 1 + (v_times[2] - v_times[1]) / 8
            END];
            v_arcs[d] := v_arcs[d] + v_last_arcs * (v_times[1] - 1);
            v_loops[d] := v_loops[d] + v_last_loops * (v_times[1] - 1) + v_times[2];
            v_last_arcs := v_last_arcs * v_times[1];
            v_last_loops := v_last_loops * v_times[1] + v_times[2];
        ELSE
            v_last_arcs := CASE WHEN v_token ~ '^(\[|\\[a-zA-Z])' THEN v_variety ELSE 1 END;
            v_last_loops := 0;
            v_is_group := false;
            v_arcs[d] := v_arcs[d] + v_last_arcs;
        END IF;
    END LOOP;
    RETURN (SELECT sum(a) FROM unnest(v_arcs) AS a) > 4000 OR (SELECT sum(l) FROM unnest(v_loops) AS l) ^ 2 * v_variety > 6000;
END;
$$;
COMMENT ON FUNCTION mqtt.is_much_to_compile(text) IS
'Whether compiling a regular expression may take more than a few milliseconds: sessions keep 32 of them, and otherwise compile each for each message. An estimate, by what its repetitions come to.';

CREATE OR REPLACE FUNCTION mqtt.path_bounds_reason(path text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A string keeps nothing but that it is one: a member's name, else a constant.
    v_bare CONSTANT text := regexp_replace(regexp_replace(path, '\.\s*"(\\.|[^"\\])*"', '.k', 'g'), '"(\\.|[^"\\])*"', '0', 'g');
    v_variable CONSTANT text := (
        SELECT m[1] FROM regexp_matches(v_bare, '\$(\w+)', 'g') AS m WHERE m[1] NOT IN ('root', 'parent') LIMIT 1
    );
    v_patterns CONSTANT text := (SELECT string_agg(m[1], ' ') FROM regexp_matches(path, 'like_regex\s*"((?:\\.|[^"\\])*)"', 'g') AS m);
    v_open text := '';
    v_step text;
BEGIN
    IF v_bare ~ '["\\]|/\*' THEN
        RETURN 'may have escapes within quotes only, and no comments';
    ELSIF v_bare ~ '\*\*.*\*\*' THEN
        RETURN 'may have ** once only';
    ELSIF v_bare ~ '\[[^]]*,' THEN
        RETURN 'may have one index or range between brackets, not several';
    ELSIF v_bare ~ '\.\s*datetime\M' THEN
        RETURN 'must not use datetime(): the time of a rule is for that';
    ELSIF path ~ 'like_regex' AND path ~ '\\\\[0-9]|(?<!\\)(?:\\\\)*\\[ux]' THEN
        RETURN 'must not have back references in like_regex, nor characters written as \u or \x';
    ELSIF v_patterns ~ '\(\?[^:]' THEN
        RETURN 'must not look ahead or behind in like_regex';
    ELSIF mqtt.is_much_to_compile(regexp_replace(v_patterns, '\\(.)', '\1', 'g')) THEN
        RETURN 'must repeat less in like_regex, or have fewer different characters there';
    ELSIF v_variable IS NOT NULL THEN
        RETURN format('may have no variables but $root and $parent, not $%s', v_variable);
    ELSIF regexp_replace(
        regexp_replace(v_bare, '(?<![\w.$@])([0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|true|false|null)\s*(==|!=|<>|<=|>=|<|>)', ' ', 'g'),
        '(==|!=|<>|<=|>=|<|>)\s*([-+]?[0-9]|true\M|false\M|null\M)', ' ', 'g'
    ) ~ '[=<>]' THEN
        RETURN 'may compare with constants only, such as $.a == 1';
    END IF;
    -- What a filter looks at again for each item lies below that item, so no payload takes longer than its size times its depth.
    FOREACH v_step IN ARRAY regexp_split_to_array(regexp_replace(v_bare, '\?\s*\(', '{', 'g'), '') LOOP
        IF v_step IN ('{', '(') THEN
            v_open := v_open || v_step;
        ELSIF v_step = ')' THEN
            v_open := left(v_open, -1);
        ELSIF v_step = '$' AND v_open LIKE '%{%' THEN
            RETURN 'must not use $ within a filter ?(…), only @';
        END IF;
    END LOOP;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.path_bounds_reason(text) IS
'What makes an SQL/JSON path one whose time could grow faster than the payload, or that could fail a statement, as the end of a sentence; null if nothing does.';

CREATE OR REPLACE FUNCTION mqtt.path_reason(path text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF octet_length(path) > 500 THEN
        RETURN 'must have at most 500 bytes';
    END IF;
    PERFORM path::jsonpath;
    RETURN mqtt.path_bounds_reason(path);
EXCEPTION
    WHEN syntax_error OR data_exception THEN
        RETURN format('is not an SQL/JSON path: %s', sqlerrm);
END;
$$;
COMMENT ON FUNCTION mqtt.path_reason(text) IS 'Why a payload rule cannot have this SQL/JSON path, as the end of a sentence with the place; null if it can.';
GRANT EXECUTE ON FUNCTION mqtt.is_much_to_compile(text), mqtt.path_bounds_reason(text), mqtt.path_reason(text) TO authenticated, service_role;
COMMIT;
