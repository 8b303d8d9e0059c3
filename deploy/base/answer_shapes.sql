-- Deploy topicbase:base/answer_shapes to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.comment_shape(routine oid, keyword text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE keyword
        WHEN 'Body' THEN nullif(split_part(split_part(d.text, E'\nBody: ', 2), E'\nAnswer', 1), '')
        WHEN 'Also' THEN substring(d.text FROM '\nAlso \d{3}: (.*)$')
        ELSE substring(split_part(d.text, E'\nAlso ', 1) FROM '\nAnswer(?: \d{3})?: (.*)$')
    END::jsonb
    FROM (SELECT pg_catalog.obj_description(routine, 'pg_proc') AS text) AS d;
$$;
COMMENT ON FUNCTION mqtt.comment_shape(oid, text) IS
'The shape that a function''s COMMENT gives after Answer: (what it answers; of a set, one row), Also 200: (what it answers with another status) or Body: (arguments that say more than their type), null if it gives none.';

CREATE OR REPLACE FUNCTION mqtt.name_examples() RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT '{
        "organization_id": "5f0c1c9e-7d5b-4b7c-8a64-2b8a5a1f9c01", "integration_id": "9a7d6e52-1f0b-4a3c-9c55-6e0b2d4f8a02",
        "message_id": "0195126e-9a3f-7c41-8d27-3b5f60a1c203", "receipt_id": "0195126e-9a3f-7c41-8d27-3b5f60a1c204",
        "credential_id": "c4b1e0a7-52d9-4f6e-b3a8-7d9f1e2c3b05", "subscription_id": "d8e2f3b4-6a1c-4e5d-9f70-8b1a2c3d4e06",
        "user_id": "e9f3a4c5-7b2d-4f6e-8a81-9c2b3d4e5f07", "topic": "org_demo/devices/sensor01/telemetry", "external_id": "sensor01",
        "deviceId": "sensor01", "metric": "temperature", "created_at": "2026-02-19T12:00:00+00:00", "received_at": "2026-02-19T12:00:00.25+00:00",
        "since": "2026-02-19T00:00:00Z", "until": "2026-02-20T00:00:00Z", "device_ids": ["sensor01"],
        "slug": "demo", "preset": "tasmota", "username": "mqtt_3f9a0c", "client_id": "sensor01", "topic_prefix": "org_demo"
    }'::jsonb;
END;
COMMENT ON FUNCTION mqtt.name_examples() IS 'An example of what has a name, which means the same in every call.';

CREATE OR REPLACE FUNCTION mqtt.nullable(schema jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN schema ? '$ref' THEN jsonb_build_object('anyOf', jsonb_build_array(schema, '{"type": "null"}'::jsonb))
        WHEN jsonb_typeof(schema -> 'type') = 'string' THEN schema || jsonb_build_object('type', jsonb_build_array(schema -> 'type', 'null'))
            || CASE WHEN schema ? 'enum' THEN jsonb_build_object('enum', (schema -> 'enum') || 'null') ELSE '{}' END
        ELSE schema
    END;
END;
COMMENT ON FUNCTION mqtt.nullable(jsonb) IS 'The JSON schema of the same or null.';

CREATE OR REPLACE FUNCTION mqtt.type_schema(type oid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE
            WHEN t.typcategory = 'A' THEN jsonb_build_object('type', 'array', 'items', mqtt.type_schema(t.typelem))
            WHEN t.oid = 'uuid'::regtype THEN '{"type": "string", "format": "uuid"}'
            WHEN t.oid = 'timestamptz'::regtype THEN '{"type": "string", "format": "date-time"}'
            WHEN t.oid IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype) THEN '{"type": "integer"}'
            WHEN t.typcategory = 'N' THEN '{"type": "number"}'
            WHEN t.typcategory = 'B' THEN '{"type": "boolean"}'
            WHEN t.oid IN ('json'::regtype, 'jsonb'::regtype) THEN '{}'
            ELSE '{"type": "string"}'::jsonb
        END
        FROM pg_catalog.pg_type AS t
        WHERE t.oid = type_schema.type
    );
END;
$$;
COMMENT ON FUNCTION mqtt.type_schema(oid) IS 'The JSON schema of a type''s values; anything for JSON.';

CREATE OR REPLACE FUNCTION mqtt.object_schema(properties jsonb, required jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties', coalesce(properties, '{}'))
        || CASE WHEN jsonb_array_length(required) > 0 THEN jsonb_build_object('required', required) ELSE '{}' END;
END;
COMMENT ON FUNCTION mqtt.object_schema(jsonb, jsonb) IS 'The JSON schema of an object that has these properties and no other.';

CREATE OR REPLACE FUNCTION mqtt.row_schema(relation oid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT mqtt.object_schema(
        jsonb_object_agg(
            a.attname, CASE WHEN a.attnotnull THEN s.schema ELSE mqtt.nullable(s.schema) END
                || CASE WHEN d.text IS NULL THEN '{}' ELSE jsonb_build_object('description', d.text) END
                || CASE WHEN e.example IS NULL THEN '{}' ELSE jsonb_build_object('examples', jsonb_build_array(e.example)) END
        ),
        jsonb_agg(a.attname ORDER BY a.attnum)
    )
    FROM pg_catalog.pg_attribute AS a
    CROSS JOIN LATERAL (SELECT mqtt.type_schema(a.atttypid) AS schema) AS s
    CROSS JOIN LATERAL (SELECT pg_catalog.col_description(a.attrelid, a.attnum) AS text) AS d
    CROSS JOIN LATERAL (SELECT mqtt.name_examples() -> a.attname::text AS example) AS e
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped;
$$;
COMMENT ON FUNCTION mqtt.row_schema(oid) IS 'The JSON schema of a row of a table, view or composite type. Of a view any column may be null: the catalogue does not know better.';

CREATE OR REPLACE FUNCTION mqtt.word_schema(word text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_relation regclass;
BEGIN
    IF word LIKE '%?' THEN
        RETURN mqtt.nullable(mqtt.word_schema(left(word, -1)));
    ELSIF word ~ '[|=]' THEN
        RETURN jsonb_build_object('type', 'string', 'enum', string_to_array(ltrim(word, '='), '|'));
    ELSIF to_regclass(format('api.%I', word)) IS NOT NULL THEN
        RETURN jsonb_build_object('$ref', '#/components/schemas/' || word);
    ELSIF word ~ '^[a-z]+\.' THEN
        v_relation := to_regclass(word);
        RETURN CASE
            WHEN v_relation IS NULL THEN jsonb_build_object('$ref', '#/components/schemas/' || split_part(word, '.', 2))
            ELSE mqtt.row_schema(v_relation)
        END;
    END IF;
    IF word NOT IN ('json', 'text', 'uuid', 'time', 'integer', 'number', 'boolean', 'object', 'null') THEN
        RAISE EXCEPTION '% is no word of a shape', word;
    END IF;
    RETURN CASE word
        WHEN 'json' THEN '{}'
        WHEN 'text' THEN '{"type": "string"}'
        WHEN 'uuid' THEN '{"type": "string", "format": "uuid"}'
        WHEN 'time' THEN '{"type": "string", "format": "date-time"}'
        ELSE jsonb_build_object('type', word)
    END;
END;
$$;
COMMENT ON FUNCTION mqtt.word_schema(text) IS
'The JSON schema that a word of a shape stands for: json (anything), text, uuid, time, integer, number, boolean, object, null; a|b or =a for words to choose from; a view of api, a table or type of mqtt for its rows, a function for its answer; with ? at the end, or null.';

CREATE OR REPLACE FUNCTION mqtt.shape_schema(shape jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rest jsonb;
    v_base jsonb := '{}';
    v_word text;
BEGIN
    CASE
        WHEN jsonb_typeof(shape) = 'string' THEN
            RETURN mqtt.word_schema(shape #>> '{}');
        WHEN jsonb_typeof(shape) = 'array' THEN
            RETURN jsonb_build_object('type', 'array', 'items', mqtt.shape_schema(shape -> 0));
        WHEN shape ? '|' THEN
            RETURN jsonb_build_object('anyOf', (SELECT jsonb_agg(mqtt.shape_schema(s.value)) FROM jsonb_array_elements(shape -> '|') AS s));
        WHEN shape ? '*' THEN
            RETURN jsonb_build_object('type', 'object', 'additionalProperties', mqtt.shape_schema(shape -> '*'));
        ELSE
    END CASE;
    IF shape ? '...' THEN
        v_word := shape ->> '...';
        v_base := CASE
            WHEN to_regclass(format('api.%I', v_word)) IS NOT NULL THEN mqtt.row_schema(to_regclass(format('api.%I', v_word)))
            WHEN to_regclass(v_word) IS NOT NULL THEN mqtt.row_schema(to_regclass(v_word))
            ELSE mqtt.shape_schema(mqtt.comment_shape(v_word::regproc::oid, 'Answer'))
        END;
    END IF;
    SELECT
        mqtt.object_schema(
            jsonb_object_agg(rtrim(p.key, '?'), CASE
                WHEN e.example IS NULL THEN s.schema ELSE s.schema || jsonb_build_object('examples', jsonb_build_array(e.example))
            END),
            jsonb_agg(p.key) FILTER (WHERE p.key NOT LIKE '%?')
        )
    INTO v_rest
    FROM jsonb_each(shape - '{...,-}'::text []) AS p
    CROSS JOIN LATERAL (SELECT mqtt.shape_schema(p.value) AS schema) AS s
    CROSS JOIN LATERAL (SELECT CASE WHEN NOT s.schema ?| '{$ref,anyOf,enum}' THEN mqtt.name_examples() -> rtrim(p.key, '?') END AS example) AS e;
    RETURN mqtt.object_schema(
        coalesce(v_base -> 'properties', '{}') - ARRAY(SELECT jsonb_array_elements_text(shape -> '-')) || (v_rest -> 'properties'),
        (SELECT jsonb_agg(DISTINCT r.name) FROM (
            SELECT jsonb_array_elements_text(coalesce(v_base -> 'required', '[]')) AS name
            UNION ALL
            SELECT jsonb_array_elements_text(coalesce(v_rest -> 'required', '[]'))
        ) AS r WHERE NOT coalesce(shape -> '-', '[]') ? r.name)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.shape_schema(jsonb) IS
'The JSON schema of a shape, as the COMMENTs of calls say it: a word (mqtt.word_schema); ["text"], an array; {"name": "text", "other?": "uuid?"}, an object with these members and no other, of which other may be missing; {"*": "text"}, an object with any members; {"|": [shapes]}, one of them; {"...": "devices", "-": ["name"], "more": "text"}, the members of a row or answer, without some, with more.';
COMMIT;
