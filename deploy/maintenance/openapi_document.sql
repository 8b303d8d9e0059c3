-- Deploy topicbase:maintenance/openapi_document to pg
-- requires: base/api_version
-- requires: maintenance/openapi_paths
-- requires: tables/openapi_documents
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.openapi_components() RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '{
        "schemas": {
            "Error": {
                "type": "object", "additionalProperties": false, "required": ["code", "message", "details", "hint"],
                "properties": {
                    "code": {"type": "string", "description": "PT and the status, or a code of PostgREST or PostgreSQL", "examples": ["PT404"]},
                    "message": {"type": "string", "description": "Of our own errors a stable slug", "examples": ["device_not_found"]},
                    "details": {"description": "This case"},
                    "hint": {"type": ["string", "null"], "description": "The next step"}
                }
            },
            "Filter": {"type": "string", "description": "An operator of PostgREST and a value", "examples": ["eq.sensor01", "gte.2026-02-19"]}
        },
        "parameters": {
            "select": {"name": "select", "in": "query", "schema": {"type": "string"}, "description": "Columns, with commas between"},
            "order": {"name": "order", "in": "query", "schema": {"type": "string"}, "example": "created_at.desc"},
            "limit": {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 0}},
            "offset": {"name": "offset", "in": "query", "schema": {"type": "integer", "minimum": 0}}
        },
        "responses": {
            "Error": {
                "description": "Any other error: a code of PostgREST or PostgreSQL",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
            }
        },
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "role, sub, aud and exp"},
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An app''s key, of create_api_key"},
            "login": {"type": "http", "scheme": "basic", "description": "A device''s username and password; of a broker, its key"},
            "username": {"type": "apiKey", "in": "header", "name": "X-Username"},
            "password": {"type": "apiKey", "in": "header", "name": "X-Password"},
            "clientId": {"type": "apiKey", "in": "header", "name": "X-Client-ID"}
        }
    }'::jsonb;
$$;
COMMENT ON FUNCTION mqtt.openapi_components() IS 'What the paths of the OpenAPI document refer to, beside the rows of views and the examples of errors.';

CREATE OR REPLACE FUNCTION mqtt.openapi_parts() RETURNS TABLE (kind text, object oid, name text, content jsonb)
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH said AS MATERIALIZED (SELECT s.routine, jsonb_object_agg(s.slug, s.status) AS slugs FROM mqtt.said_slugs() AS s GROUP BY s.routine),
    relation AS MATERIALIZED (
        SELECT c.oid, c.relname::text AS name FROM pg_catalog.pg_class AS c WHERE c.relnamespace = 'api'::regnamespace AND c.relkind = 'v'
    )
    SELECT 'call', (c.p).oid, '/rpc/' || (c.p).proname, mqtt.openapi_call(c.p, coalesce(s.slugs, '{}'))
    FROM (
        SELECT DISTINCT ON (p.proname) p FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'api'::regnamespace
        ORDER BY p.proname, length(pg_catalog.obj_description(p.oid, 'pg_proc')) DESC, p.oid
    ) AS c
    LEFT JOIN said AS s ON s.routine = (c.p).oid
    UNION ALL
    SELECT 'error', s.routine, e.key, jsonb_build_object('summary', e.value ->> 'meaning', 'value', jsonb_build_object(
        'code', 'PT' || (e.value ->> 'status'), 'message', e.key, 'details', e.value ->> 'meaning', 'hint', e.value ->> 'remedy'
    ))
    FROM said AS s
    JOIN jsonb_each(mqtt.error_catalogue()) AS e ON s.slugs ? e.key
    UNION ALL
    SELECT 'view', r.oid, '/' || r.name, mqtt.openapi_view(r.oid) FROM relation AS r
    UNION ALL
    SELECT 'row', r.oid, r.name, mqtt.row_schema(r.oid) FROM relation AS r
    UNION ALL
    SELECT 'answer', p.oid, p.proname, mqtt.shape_schema(a.shape)
    FROM pg_catalog.pg_proc AS p
    CROSS JOIN LATERAL (SELECT mqtt.comment_shape(p.oid, 'Answer') AS shape) AS a
    WHERE p.pronamespace = 'mqtt'::regnamespace AND a.shape IS NOT NULL;
$$;
COMMENT ON FUNCTION mqtt.openapi_parts() IS
'All that OpenAPI documents are made of: paths of calls and views, rows of views, answers of functions that several calls give, errors of calls.';

CREATE OR REPLACE FUNCTION mqtt.render_openapi(roles name []) RETURNS TABLE (role name, document jsonb)
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH part AS MATERIALIZED (SELECT p.* FROM mqtt.openapi_parts() AS p)
    SELECT r.role, jsonb_build_object(
        'openapi', '3.1.0',
        'info', jsonb_build_object(
            'title', 'Topicbase', 'version', mqtt.api_version(), 'summary', 'MQTT integration that lives in Postgres',
            'description', 'The calls that you may make, with the login that you sent. The version is that of get_api_version.',
            'license', '{"name": "MIT", "identifier": "MIT"}'::jsonb
        ),
        'servers', '[{"url": "./", "description": "Where this document comes from"}]'::jsonb,
        'paths', coalesce(s.paths, '{}'),
        'components', mqtt.openapi_components()
            || jsonb_build_object('schemas', mqtt.openapi_components() -> 'schemas' || coalesce(s.schemas, '{}'), 'examples', coalesce(s.examples, '{}'))
    )
    FROM unnest(roles) AS r (role)
    CROSS JOIN LATERAL (
        SELECT
            jsonb_object_agg(p.name, p.content) FILTER (WHERE p.kind IN ('call', 'view')) AS paths,
            jsonb_object_agg(p.name, p.content) FILTER (WHERE p.kind IN ('row', 'answer')) AS schemas,
            jsonb_object_agg(p.name, p.content) FILTER (WHERE p.kind = 'error') AS examples
        FROM part AS p
        WHERE CASE
            WHEN p.kind IN ('call', 'error') THEN has_function_privilege(r.role, p.object, 'execute')
            WHEN p.kind = 'answer' THEN r.role <> 'anon'
            ELSE has_table_privilege(r.role, p.object, 'select')
        END
    ) AS s;
$$;
COMMENT ON FUNCTION mqtt.render_openapi(name []) IS
'The OpenAPI 3.1 document of the calls and views that each role may use, from the catalogue: arguments, result types, COMMENTs and grants.';

CREATE OR REPLACE FUNCTION mqtt.api_fingerprint() RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT md5(concat(mqtt.api_version(), string_agg(concat_ws(' ', o.oid, o.xmin, d.xmin), ',' ORDER BY o.oid, d.objsubid)))
    FROM (
        SELECT p.oid, p.xmin::text AS xmin, p.tableoid AS class FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'api'::regnamespace
        UNION ALL
        SELECT c.oid, c.xmin::text, c.tableoid FROM pg_catalog.pg_class AS c WHERE c.relnamespace = 'api'::regnamespace
    ) AS o
    LEFT JOIN pg_catalog.pg_description AS d ON d.objoid = o.oid AND d.classoid = o.class;
$$;
COMMENT ON FUNCTION mqtt.api_fingerprint() IS 'Changes with every change of the schema api, its grants and its comments.';

CREATE OR REPLACE FUNCTION mqtt.refresh_openapi() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_fingerprint CONSTANT text := mqtt.api_fingerprint();
BEGIN
    IF (SELECT count(*) FROM mqtt.openapi_documents AS d WHERE d.fingerprint = v_fingerprint) = 3 THEN
        RETURN;
    END IF;
    INSERT INTO mqtt.openapi_documents AS d (role, fingerprint, document)
    SELECT r.role, v_fingerprint, r.document::text
    FROM mqtt.render_openapi('{anon,authenticated,service_role}') AS r
    ON CONFLICT (role) DO UPDATE SET fingerprint = excluded.fingerprint, document = excluded.document;
END;
$$;
COMMENT ON FUNCTION mqtt.refresh_openapi() IS 'Makes the OpenAPI documents again if the schema api has changed. At the end of a deploy, and in maintenance.';
COMMIT;
