-- Deploy topicbase:maintenance/openapi_paths to pg
-- requires: base/answer_shapes
-- requires: base/error_catalogue
-- requires: integrations/api_keys
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.argument_schemas(routine oid) RETURNS TABLE (place integer, name text, schema jsonb, is_required boolean)
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        a.place::integer, a.name,
        CASE WHEN a.is_required OR s.schema = '{}' THEN s.schema ELSE mqtt.nullable(s.schema) END
            || CASE WHEN e.example IS NULL OR s.schema ? 'enum' THEN '{}' ELSE jsonb_build_object('examples', jsonb_build_array(e.example)) END,
        a.is_required
    FROM (
        SELECT u.place, p.proargnames[u.place] AS name, u.type, u.place <= p.pronargs - p.pronargdefaults AS is_required
        FROM pg_catalog.pg_proc AS p
        CROSS JOIN LATERAL unnest(p.proargtypes::oid []) WITH ORDINALITY AS u (type, place)
        WHERE p.oid = routine AND p.proargnames IS NOT NULL
    ) AS a
    CROSS JOIN LATERAL (SELECT mqtt.comment_shape(routine, 'Body') -> a.name AS shape) AS b
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN b.shape IS NOT NULL THEN mqtt.shape_schema(b.shape)
            WHEN a.type = 'interval'::regtype THEN '{"type": ["string", "number", "null"]}'
            ELSE mqtt.type_schema(a.type)
        END AS schema
    ) AS s
    CROSS JOIN LATERAL (SELECT mqtt.name_examples() -> a.name AS example) AS e;
$$;
COMMENT ON FUNCTION mqtt.argument_schemas(oid) IS 'The arguments of a call with the JSON schema of each; none for a call that takes its body whole.';

CREATE OR REPLACE FUNCTION mqtt.openapi_body(routine pg_catalog.pg_proc) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_schema jsonb;
    v_example jsonb;
    v_content jsonb;
BEGIN
    IF routine.pronargs = 1 AND routine.proargtypes[0] = 'bytea'::regtype THEN
        RETURN '{"required": true, "content": {"application/octet-stream": {}}}';
    ELSIF routine.pronargs = 1 AND routine.proargtypes[0] IN ('text'::regtype, 'xml'::regtype) AND routine.proargnames IS NULL THEN
        RETURN jsonb_build_object('required', true, 'content', jsonb_build_object(
            CASE WHEN routine.proargtypes[0] = 'xml'::regtype THEN 'text/xml' ELSE 'text/plain' END, '{"schema": {"type": "string"}}'::jsonb
        ));
    ELSIF routine.proargnames IS NULL AND routine.pronargs = 1 THEN
        v_schema := CASE WHEN mqtt.comment_shape(routine.oid, 'Body') IS NULL THEN '{}' ELSE mqtt.shape_schema(mqtt.comment_shape(routine.oid, 'Body')) END;
    ELSE
        SELECT mqtt.object_schema(jsonb_object_agg(a.name, a.schema ORDER BY a.place), coalesce(jsonb_agg(a.name ORDER BY a.place) FILTER (WHERE a.is_required), '[]')),
            CASE WHEN bool_and(a.schema ? 'examples') FILTER (WHERE a.is_required) THEN jsonb_object_agg(a.name, a.schema #> '{examples,0}') FILTER (WHERE a.is_required) END
        INTO v_schema, v_example
        FROM mqtt.argument_schemas(routine.oid) AS a;
    END IF;
    v_content := jsonb_build_object('schema', v_schema) || CASE WHEN v_example IS NULL THEN '{}' ELSE jsonb_build_object('example', v_example) END;
    RETURN jsonb_build_object('required', coalesce(jsonb_array_length(v_schema -> 'required') > 0, v_schema ? 'anyOf' OR v_schema = '{}'), 'content', jsonb_build_object('application/json', v_content)
        || CASE WHEN routine.proname LIKE 'rabbitmq\_%' THEN jsonb_build_object('application/x-www-form-urlencoded', v_content) ELSE '{}' END);
END;
$$;
COMMENT ON FUNCTION mqtt.openapi_body(pg_catalog.pg_proc) IS 'The request body of a call, in terms of OpenAPI.';

CREATE OR REPLACE FUNCTION mqtt.openapi_query(routine oid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(
        jsonb_build_object('name', a.name, 'in', 'query', 'required', a.is_required)
            || CASE
                WHEN a.schema - 'examples' = '{}' THEN jsonb_build_object('content', jsonb_build_object('application/json', jsonb_build_object('schema', a.schema)))
                WHEN a.schema -> 'type' @> '"array"' THEN
                    '{"description": "A list: {a,b}.", "schema": {"type": "string", "pattern": "^[{].*[}]$", "examples": ["{a,b}"]}}'
                ELSE jsonb_build_object('schema', a.schema || CASE WHEN jsonb_typeof(a.schema -> 'type') = 'array' THEN jsonb_build_object('type', a.schema #> '{type,0}') ELSE '{}' END)
            END
        ORDER BY a.place
    ), '[]')
    FROM mqtt.argument_schemas(routine) AS a;
$$;
COMMENT ON FUNCTION mqtt.openapi_query(oid) IS 'The parameters of a call by GET, in terms of OpenAPI.';

CREATE OR REPLACE FUNCTION mqtt.said_slugs() RETURNS TABLE (routine oid, slug text, status text)
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH said AS MATERIALIZED (
        SELECT p.oid, p.proname, split_part(regexp_replace(pg_catalog.obj_description(p.oid, 'pg_proc'), '\merrors are\M', 'Errors:'), 'Errors:', 2) AS text
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'api'::regnamespace
    ),
    own AS MATERIALIZED (
        SELECT s.oid, m[1] AS slug, e.value ->> 'status' AS status
        FROM said AS s
        CROSS JOIN LATERAL regexp_matches(s.text, '`([a-z]+(?:_[a-z0-9]+)+)`', 'g') AS m
        JOIN jsonb_each(mqtt.error_catalogue()) AS e ON e.key = m[1]
    )
    SELECT o.oid, o.slug, o.status FROM own AS o
    UNION
    SELECT s.oid, o.slug, o.status
    FROM said AS s
    CROSS JOIN LATERAL regexp_matches(s.text, '\mthose\s+of\s+`?(\w+)`?', 'g') AS m
    JOIN said AS r ON r.proname = m[1]
    JOIN own AS o ON o.oid = r.oid;
$$;
COMMENT ON FUNCTION mqtt.said_slugs() IS 'The slugs of the errors that each call''s COMMENT names, with those of the calls to which it refers.';

CREATE OR REPLACE FUNCTION mqtt.openapi_answer(description text, schema jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT jsonb_build_object('description', description, 'content', jsonb_build_object(
        CASE WHEN schema ->> 'type' = 'string' THEN 'text/plain' ELSE 'application/json' END, jsonb_build_object('schema', schema)
    ));
END;
COMMENT ON FUNCTION mqtt.openapi_answer(text, jsonb) IS 'One answer of a call, in terms of OpenAPI.';

CREATE OR REPLACE FUNCTION mqtt.openapi_answers(routine pg_catalog.pg_proc, slugs jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_shape CONSTANT jsonb := mqtt.comment_shape(routine.oid, 'Answer');
    v_status CONSTANT text := coalesce(substring(pg_catalog.obj_description(routine.oid, 'pg_proc') FROM '\nAnswer (\d{3}): '), '200');
    v_relation CONSTANT oid := (SELECT nullif(t.typrelid, 0) FROM pg_catalog.pg_type AS t WHERE t.oid = routine.prorettype);
    v_schema jsonb;
BEGIN
    v_schema := CASE
        WHEN v_shape IS NOT NULL THEN mqtt.shape_schema(v_shape)
        WHEN v_relation IS NOT NULL THEN mqtt.row_schema(v_relation)
        ELSE (
            SELECT mqtt.object_schema(
                jsonb_object_agg(routine.proargnames[m.place], mqtt.nullable(mqtt.type_schema(routine.proallargtypes[m.place]))),
                jsonb_agg(routine.proargnames[m.place] ORDER BY m.place)
            )
            FROM unnest(routine.proargmodes) WITH ORDINALITY AS m (mode, place)
            WHERE m.mode = 't'
        )
    END;
    IF routine.proretset THEN
        v_schema := jsonb_build_object('type', 'array', 'items', v_schema);
    END IF;
    RETURN jsonb_build_object(v_status, mqtt.openapi_answer(CASE v_status WHEN '202' THEN 'Queued' ELSE 'Done' END, v_schema)) || coalesce((
        SELECT jsonb_build_object(a.status, mqtt.openapi_answer('Done', mqtt.shape_schema(mqtt.comment_shape(routine.oid, 'Also'))))
        FROM substring(pg_catalog.obj_description(routine.oid, 'pg_proc') FROM '\nAlso (\d{3}): ') AS a (status)
        WHERE a.status IS NOT NULL
    ), '{}') || coalesce((
        SELECT jsonb_object_agg(e.status, jsonb_build_object(
            'description', e.slugs, 'content', jsonb_build_object('application/json', jsonb_build_object('schema', '{"$ref": "#/components/schemas/Error"}'::jsonb, 'examples', e.examples))
        ))
        FROM (
            SELECT
                s.value #>> '{}' AS status, string_agg(format('`%s`', s.key), ', ' ORDER BY s.key) AS slugs,
                jsonb_object_agg(s.key, jsonb_build_object('$ref', '#/components/examples/' || s.key)) AS examples
            FROM jsonb_each(slugs) AS s
            GROUP BY s.value
        ) AS e
    ), '{}') || '{"default": {"$ref": "#/components/responses/Error"}}';
END;
$$;
COMMENT ON FUNCTION mqtt.openapi_answers(pg_catalog.pg_proc, jsonb) IS 'The answers of a call by their status, and the errors, given as a map of slugs to statuses, in terms of OpenAPI.';

CREATE OR REPLACE FUNCTION mqtt.openapi_call(routine pg_catalog.pg_proc, slugs jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_comment CONSTANT text := regexp_replace(pg_catalog.obj_description(routine.oid, 'pg_proc'), '\n(?:Answer(?: \d{3})?|Body): .*', '');
    v_operation jsonb;
    v_get jsonb := '{}';
BEGIN
    v_operation := jsonb_build_object(
        'summary', split_part(v_comment, E'\n', 1),
        'description', ltrim(substr(v_comment, length(split_part(v_comment, E'\n', 1)) + 1), E'\n'),
        'responses', mqtt.openapi_answers(routine, slugs),
        'security', CASE
            WHEN routine.proname = 'mqtt_ingest_document' THEN '[{"login": []}, {"username": [], "password": []}]'
            WHEN routine.proname LIKE 'mqtt\_ingest%' THEN '[{"login": [], "clientId": []}, {"username": [], "password": [], "clientId": []}]'
            WHEN routine.proname ~ '^(rabbitmq_auth|emqx)_' THEN '[{"login": []}]'
            WHEN has_function_privilege('anon', routine.oid, 'execute') THEN '[{}, {"token": []}, {"apiKey": []}]'
            WHEN mqtt.call_scope('/rpc/' || routine.proname) IS NULL THEN '[{"token": []}]'
            ELSE '[{"token": []}, {"apiKey": []}]'::jsonb
        END
    );
    IF routine.provolatile <> 'v' THEN
        v_get := jsonb_build_object('get', v_operation || jsonb_build_object(
            'operationId', 'get:' || routine.proname, 'description', 'As by POST, with the arguments in the query.', 'parameters', mqtt.openapi_query(routine.oid)
        ));
    END IF;
    v_operation := v_operation || jsonb_build_object('operationId', routine.proname, 'requestBody', mqtt.openapi_body(routine) || jsonb_build_object(
        'content', (
            -- A call of several forms is told by the Content-Type which one is meant; of JSON, the one that has arguments.
            SELECT jsonb_object_agg(c.key, c.value ORDER BY p.pronargs)
            FROM pg_catalog.pg_proc AS p
            CROSS JOIN LATERAL jsonb_each(mqtt.openapi_body(p) -> 'content') AS c
            WHERE p.pronamespace = routine.pronamespace AND p.proname = routine.proname
        )
    ));
    IF EXISTS (
        SELECT
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = routine.pronamespace AND p.proname = routine.proname AND p.pronargs = 1 AND p.proargtypes[0] = 'bytea'::regtype
    ) THEN
        v_operation := v_operation || jsonb_build_object('parameters', (
            SELECT jsonb_agg(jsonb_build_object('name', h.name, 'in', 'header', 'required', h.name = 'X-Topic' AND routine.proname = 'mqtt_ingest_binary', 'schema', '{"type": "string"}'::jsonb))
            FROM unnest('{X-Topic,X-QoS,X-Retain,X-Content-Type,X-Message-ID,X-Timestamp}'::text []) AS h (name)
        ));
    END IF;
    RETURN v_get || jsonb_build_object('post', v_operation);
END;
$$;
COMMENT ON FUNCTION mqtt.openapi_call(pg_catalog.pg_proc, jsonb) IS 'The path of a call, in terms of OpenAPI: by GET too if it changes nothing.';

CREATE OR REPLACE FUNCTION mqtt.openapi_view(relation oid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('get', jsonb_build_object(
        'operationId', c.relname, 'summary', split_part(d.text, E'\n', 1),
        'description', concat_ws(E'\n', nullif(ltrim(substr(d.text, length(split_part(d.text, E'\n', 1)) + 1), E'\n'), ''), 'With `select`, the rows have those columns only.'),
        'security', '[{"token": []}, {"apiKey": []}]'::jsonb,
        'parameters', '[{"$ref": "#/components/parameters/select"}, {"$ref": "#/components/parameters/order"}, {"$ref": "#/components/parameters/limit"}, {"$ref": "#/components/parameters/offset"}]'::jsonb || (
            SELECT jsonb_agg(jsonb_build_object('name', a.attname, 'in', 'query', 'schema', '{"$ref": "#/components/schemas/Filter"}'::jsonb) ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
        ),
        'responses', jsonb_build_object('200', r.rows, '206', r.rows, 'default', '{"$ref": "#/components/responses/Error"}'::jsonb)
    ))
    FROM pg_catalog.pg_class AS c
    CROSS JOIN LATERAL (SELECT pg_catalog.obj_description(c.oid, 'pg_class') AS text) AS d
    CROSS JOIN LATERAL (
        SELECT jsonb_build_object('description', 'Rows', 'content', jsonb_build_object('application/json', jsonb_build_object('schema', jsonb_build_object(
            'type', 'array', 'items', jsonb_build_object('$ref', '#/components/schemas/' || c.relname)
        )))) AS rows
    ) AS r
    WHERE c.oid = relation;
$$;
COMMENT ON FUNCTION mqtt.openapi_view(oid) IS 'The path of a view, in terms of OpenAPI: GET only.';
COMMIT;
