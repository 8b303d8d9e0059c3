-- Deploy topicbase:integrations/rule_layouts to pg
-- requires: base/codecs
-- requires: base/parse_values
-- requires: integrations/refuse_rule
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
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
    WHEN external_routine_exception OR undefined_file OR internal_error THEN
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

CREATE OR REPLACE FUNCTION mqtt.value_reason(field jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN jsonb_typeof(field -> 'name') IS DISTINCT FROM 'string' OR length(field ->> 'name') NOT BETWEEN 1 AND 200 THEN 'name must have 1 to 200 characters'
        WHEN NOT coalesce(field ->> 'scale', '1') ~ '^(/[0-9]{1,15}(\.[0-9]{1,15})?|-?[0-9]{1,15}(\.[0-9]{1,15})?)$'
            OR coalesce(field ->> 'scale', '1') ~ '^[/0.-]*$' OR (jsonb_typeof(field -> 'scale') = 'string') <> ((field ->> 'scale') LIKE '/%')
            THEN 'scale must be a number, or one after / to divide by: "/100"'
        WHEN field ? 'labels' AND (
            jsonb_typeof(field -> 'labels') <> 'object' OR octet_length((field -> 'labels')::text) > 10000
            OR jsonb_path_exists(field -> 'labels', 'strict $.* ? (@.type() == "object" || @.type() == "array")')
        ) THEN 'labels must be an object such as {"0": "closed", "255": null}'
    END;
END;
COMMENT ON FUNCTION mqtt.value_reason(jsonb) IS 'Why this is not how a field of binary, or a part of one, makes a value, as the end of a sentence; null if it is.';

CREATE OR REPLACE FUNCTION mqtt.field_reason(field jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN jsonb_typeof(field) <> 'object' OR field - '{format,name,scale,labels,parts,optional}'::text [] <> '{}' OR (field ? 'parts' AND field ?| '{name,scale,labels}')
            THEN 'must be {"format", "name"}, with "scale", "labels" and "optional" if needed, or {"format", "parts"}'
        WHEN coalesce(field ->> 'format', '') !~ '^[<>]?([bBhHiIqQefd?]|[iu](8|16|24|32|40|48|56|64)|[1-9][0-9]{0,3}[sx])$'
            THEN 'format must be one of b B h H i I q Q e f d ? after < or >, or such as u24, i24, 12s (text) or 3x (skipped)'
        WHEN jsonb_typeof(coalesce(field -> 'optional', 'true')) <> 'boolean' THEN 'optional must be true or false'
        WHEN right(field ->> 'format', 1) = 'x' THEN NULL
        WHEN NOT field ? 'parts' THEN mqtt.value_reason(field)
        WHEN field ->> 'format' !~ '^[<>]?([BHIQ]|u[0-9]+)$' THEN 'parts are of one of B H I Q and such as u24'
        WHEN jsonb_typeof(field -> 'parts') <> 'array' OR jsonb_array_length(field -> 'parts') NOT BETWEEN 1 AND 64 THEN 'parts must be an array of 1 to 64 members'
        ELSE (
            SELECT 'parts: ' || coalesce(
                CASE
                    WHEN jsonb_typeof(p.value) <> 'object' OR p.value - '{name,bits,signed,scale,labels}'::text [] <> '{}' THEN 'each must be {"name", "bits"}, with "signed", "scale" and "labels" if needed'
                    WHEN jsonb_path_match(p.value, 'strict $.bits.type() == "array" && $.bits.size() == 2 && $.bits[0] >= 0 && $.bits[0] <= 63
                        && $.bits[1] >= 1 && $.bits[1] <= 64 && $.bits[0] == $.bits[0].floor() && $.bits[1] == $.bits[1].floor()', '{}', true) IS NOT TRUE
                        THEN 'bits must be [from, count]'
                    WHEN jsonb_typeof(coalesce(p.value -> 'signed', 'true')) <> 'boolean' THEN 'signed must be true or false'
                END, mqtt.value_reason(p.value)
            )
            FROM jsonb_array_elements(field -> 'parts') AS p
            ORDER BY 1
            LIMIT 1
        )
    END;
END;
$$;
COMMENT ON FUNCTION mqtt.field_reason(jsonb) IS 'Why this is not a field of the layout of binary, as the end of a sentence; null if it is.';

CREATE OR REPLACE FUNCTION mqtt.records_reason(records jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN records - '{tag,length,fields}'::text [] <> '{}' OR NOT records -> 'tag' <@ '[1, 2, 3, 4]' OR NOT coalesce(records -> 'length', '0') <@ '[0, 1, 2]'
            OR jsonb_typeof(records -> 'fields') IS DISTINCT FROM 'object' OR octet_length(records::text) > 65536
            THEN 'must be {"tag": 1 to 4, "length": 0 to 2, "fields": {"0167": [fields]}}, of at most 64 KiB'
        ELSE (
            SELECT format('tag %s: ', f.key) || CASE
                WHEN f.key !~ '^[0-9a-f]+$' OR length(f.key) <> 2 * (records ->> 'tag')::integer THEN 'must be as many bytes in lower-case hexadecimal as tag says'
                WHEN jsonb_typeof(f.value) <> 'array' OR jsonb_array_length(f.value) > 100 THEN 'must be an array of at most 100 fields'
                ELSE (SELECT min(mqtt.field_reason(x.value)) FROM jsonb_array_elements(f.value) AS x)
            END
            FROM jsonb_each(records -> 'fields') AS f
            ORDER BY 1
            LIMIT 1
        )
    END;
END;
COMMENT ON FUNCTION mqtt.records_reason(jsonb) IS 'Why these are not records in the layout of binary, as the end of a sentence; null if they are.';

CREATE OR REPLACE FUNCTION mqtt.layout_reason(decode text, layout jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_decode CONSTANT text := coalesce(substring(split_part(decode, ' of ', 1), '[a-z-]+$'), '');
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
    RETURN (
        SELECT format('member %s', f.ordinality) || r.reason
        FROM jsonb_array_elements(layout) WITH ORDINALITY AS f
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN v_decode = 'binary' AND f.value ? 'tag' AND f.ordinality = jsonb_array_length(layout) THEN ': ' || mqtt.records_reason(f.value)
                WHEN v_decode = 'binary' THEN ': ' || mqtt.field_reason(f.value)
                WHEN jsonb_typeof(f.value) NOT IN ('string', 'null') OR length(f.value #>> '{}') > 200
                    THEN ' must be the name of a column, of at most 200 characters, or null'
            END AS reason
        ) AS r
        WHERE r.reason IS NOT NULL
        ORDER BY f.ordinality
        LIMIT 1
    );
END;
$$;
COMMENT ON FUNCTION mqtt.layout_reason(text, jsonb) IS 'Why this is not the layout of what a rule decodes, as the end of a sentence; null if it is.';
GRANT EXECUTE ON FUNCTION mqtt.protobuf_layout(jsonb), mqtt.protobuf_layout_reason(jsonb), mqtt.value_reason(jsonb), mqtt.field_reason(jsonb),
mqtt.records_reason(jsonb), mqtt.layout_reason(text, jsonb) TO authenticated, service_role;
COMMIT;
