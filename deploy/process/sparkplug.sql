-- Deploy topicbase:process/sparkplug to pg
-- requires: base/py_decode_sparkplug
-- requires: tables/sparkplug_nodes
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.sparkplug_topic(topic text) RETURNS text []
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT regexp_match(topic, '^(?:(.*)/)?spBv1\.0/([^/]+)/([ND](?:BIRTH|DATA|DEATH))/([^/]+)(?:/([^/]+))?$');
END;
COMMENT ON FUNCTION mqtt.sparkplug_topic(text) IS 'What comes before a Sparkplug B topic, its group, type, edge node and device; null for one that is none.';

CREATE OR REPLACE FUNCTION mqtt.sparkplug_document(parts text [], decoded jsonb, node mqtt.sparkplug_nodes) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object(
        'sparkplug', parts[3],
        'device', concat_ws('/', parts[2], parts[4], parts[5]),
        -- With an edge node its devices die.
        'devices', CASE
            WHEN parts[3] = 'NDEATH' THEN to_jsonb(concat_ws('/', parts[2], parts[4]) || node.devices)
            ELSE jsonb_build_array(concat_ws('/', parts[2], parts[4], parts[5]))
        END,
        'samples', coalesce((
            SELECT jsonb_agg(jsonb_build_object('ts', s.ts, 'values', s.data) ORDER BY s.ts)
            FROM (
                SELECT m.ts, jsonb_object_agg(m.name, m.value) AS data
                FROM (
                    SELECT
                        coalesce(e.value -> 'timestamp', decoded -> 'timestamp') AS ts, coalesce(e.value ->> 'name', a.known ->> 0) AS name,
                        CASE
                            WHEN e.value ? 'datatype' OR jsonb_typeof(e.value -> 'value') <> 'number' THEN e.value -> 'value'
                            WHEN a.known -> 1 <@ '[1, 2, 3]' AND (e.value -> 'value')::numeric >= 2147483648
                                THEN to_jsonb((e.value -> 'value')::numeric - 4294967296)
                            WHEN a.known -> 1 = '4' AND (e.value -> 'value')::numeric >= 9223372036854775808
                                THEN to_jsonb((e.value -> 'value')::numeric - 18446744073709551616)
                            ELSE e.value -> 'value'
                        END AS value
                    FROM jsonb_array_elements(decoded -> 'metrics') AS e
                    CROSS JOIN LATERAL (SELECT node.aliases -> (e.value ->> 'alias') AS known) AS a
                ) AS m
                WHERE m.value IS NOT NULL AND m.name !~ '^(Node Control/|Device Control/|bdSeq$)'
                GROUP BY m.ts
            ) AS s
        ), '[]')
    );
END;
$$;
COMMENT ON FUNCTION mqtt.sparkplug_document(text [], jsonb, mqtt.sparkplug_nodes) IS
'A decoded Sparkplug B payload as rules read it: {"sparkplug": its type, "device", "devices": who is born or dies, "samples": [{"ts", "values"}]}.';

CREATE OR REPLACE FUNCTION mqtt.sparkplug_step(node mqtt.sparkplug_nodes, parts text [], decoded jsonb) RETURNS mqtt.sparkplug_nodes
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_device CONSTANT text := concat_ws('/', parts[2], parts[4], parts[5]);
    v_seq CONSTANT smallint := CASE WHEN (decoded -> 'seq')::numeric BETWEEN 0 AND 255 THEN (decoded -> 'seq')::smallint END;
    v_aliases jsonb;
BEGIN
    IF parts[3] = 'NDEATH' THEN
        node.is_born := false;
        RETURN node;
    END IF;
    IF parts[3] LIKE '_BIRTH' THEN
        SELECT coalesce(jsonb_object_agg(m.value ->> 'alias', jsonb_build_array(m.value -> 'name', m.value -> 'datatype')), '{}') INTO v_aliases
        FROM jsonb_array_elements(decoded -> 'metrics') AS m
        WHERE m.value ?& '{alias,name}';
        node.aliases := CASE parts[3] WHEN 'NBIRTH' THEN v_aliases ELSE node.aliases || v_aliases END;
        node.devices := CASE parts[3] WHEN 'NBIRTH' THEN '{}' ELSE array_remove(node.devices, v_device) || v_device END;
    END IF;
    IF parts[3] = 'NBIRTH' THEN
        node.is_born := true;
    ELSIF NOT node.is_born OR (node.seq + 1) % 256 IS DISTINCT FROM v_seq OR EXISTS (
        SELECT FROM jsonb_array_elements(decoded -> 'metrics') AS m WHERE NOT m.value ? 'name' AND NOT node.aliases ? (m.value ->> 'alias')
    ) THEN
        -- Something is missing: the caller asks for a rebirth.
        node.rebirth_at := 'infinity';
    END IF;
    node.seq := coalesce(v_seq, node.seq);
    RETURN node;
END;
$$;
COMMENT ON FUNCTION mqtt.sparkplug_step(mqtt.sparkplug_nodes, text [], jsonb) IS
'An edge node once a message has come: its names, sequence and devices; rebirth_at is infinity where its birth or a message is missing (Sparkplug 3.0.0 section 5.4).';

CREATE OR REPLACE FUNCTION mqtt.try_sparkplug(body bytea) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.py_decode_sparkplug(body);
EXCEPTION
    WHEN external_routine_exception OR data_exception OR undefined_function THEN
        RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.try_sparkplug(bytea) IS 'A Sparkplug B payload as JSON; null where it is none, or where the server has no PL/Python.';
COMMIT;
