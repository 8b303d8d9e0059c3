-- Deploy topicbase:process/sparkplug to pg
-- requires: base/py_decode_sparkplug
-- requires: process/interpretation
-- requires: tables/payload_rules
-- requires: tables/sparkplug_nodes
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.sparkplug_topic(topic text) RETURNS TABLE (kind text, node text, device text)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    -- Much faster than a regular expression.
    SELECT
        p.levels[p.place + 2], array_to_string(p.levels[:p.place - 1] || p.levels[p.place + 1] || p.levels[p.place + 3], '/'),
        concat_ws('/', p.levels[p.place + 1], p.levels[p.place + 3], p.levels[p.place + 4])
    FROM (
        SELECT l.levels, array_position(l.levels, 'spBv1.0') AS place FROM (SELECT string_to_array(topic, '/') AS levels OFFSET 0) AS l OFFSET 0
    ) AS p
    WHERE p.levels[p.place + 2] = ANY ('{NBIRTH,DBIRTH,NDATA,DDATA,NDEATH,DDEATH}') AND cardinality(p.levels) BETWEEN p.place + 3 AND p.place + 4
        AND p.levels[p.place + 1] <> '' AND p.levels[p.place + 3] <> '' AND coalesce(p.levels[p.place + 4], '-') <> '';
END;
COMMENT ON FUNCTION mqtt.sparkplug_topic(text) IS
'Of a Sparkplug B topic its type, its edge node as group/node with what comes before, and the device''s external id; none for a topic that is none. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.sparkplug_messages(messages mqtt.rule_message [])
RETURNS TABLE (message mqtt.sparkplug_message, bytes bigint, ordinality bigint)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH message AS MATERIALIZED (
        SELECT m.place, m.integration_id, t.node, t.kind, t.device, m.body, m.received_at,
            row_number() OVER (PARTITION BY m.integration_id, t.node ORDER BY m.place) AS number
        FROM unnest(messages) AS m
        CROSS JOIN LATERAL mqtt.sparkplug_topic(m.topic) AS t
        WHERE m.body IS NOT NULL AND m.integration_id IN (SELECT r.integration_id FROM mqtt.payload_rules AS r WHERE r.decode = 'sparkplug')
    )
    SELECT
        ROW(m.place, m.integration_id, m.node, m.kind, m.device, m.body, m.received_at)::mqtt.sparkplug_message,
        octet_length(m.body) + CASE m.number
            WHEN 1 THEN coalesce((
                -- Not as they are stored: compressed.
                SELECT octet_length(n.aliases::text) + octet_length(n.devices::text) FROM mqtt.sparkplug_nodes AS n WHERE n.integration_id = m.integration_id AND n.node = m.node
            ), 0) ELSE 0
        END::bigint,
        row_number() OVER (ORDER BY m.integration_id, m.node, m.place)
    FROM message AS m;
END;
$$;
COMMENT ON FUNCTION mqtt.sparkplug_messages(mqtt.rule_message []) IS
'Those of Sparkplug B among these messages, of integrations that have rules for them, edge node by edge node in the order of their places; bytes: what is to be read for them.';

CREATE OR REPLACE FUNCTION mqtt.decoded_sparkplug(messages mqtt.sparkplug_message [], known mqtt.sparkplug_nodes []) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT mqtt.py_decode_sparkplug(
            array_agg(m.kind ORDER BY m.ordinality), array_agg(m.integration_id || '/' || m.node ORDER BY m.ordinality),
            array_agg(m.device ORDER BY m.ordinality), array_agg(m.body ORDER BY m.ordinality),
            coalesce((
                SELECT jsonb_object_agg(
                    n.integration_id || '/' || n.node,
                    jsonb_build_object('is_born', n.is_born, 'seq', n.seq, 'aliases', n.aliases, 'devices', n.devices)
                )
                FROM unnest(known) AS n
            ), '{}')::text
        )
        FROM unnest(messages) WITH ORDINALITY AS m
    );
EXCEPTION
    -- The server no longer loads PL/Python: nobody else's messages wait for that.
    WHEN undefined_file OR internal_error THEN
        RETURN jsonb_build_object('documents', (SELECT jsonb_agg(NULL::jsonb) FROM unnest(messages)), 'states', '{}'::jsonb);
END;
$$;
COMMENT ON FUNCTION mqtt.decoded_sparkplug(mqtt.sparkplug_message [], mqtt.sparkplug_nodes []) IS
'These Sparkplug B messages as rules read them, and what is known of their edge nodes after them: {"documents", "states"}.';

CREATE OR REPLACE FUNCTION mqtt.sparkplug_node(organization_id uuid, integration_id uuid, node text, state jsonb) RETURNS mqtt.sparkplug_nodes
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT ROW(
        organization_id, integration_id, node, (state -> 'is_born')::boolean, (state ->> 'seq')::smallint, state -> 'aliases',
        ARRAY(SELECT jsonb_array_elements_text(state -> 'devices')), CASE WHEN state ? 'is_lost' THEN 'infinity'::timestamptz END
    )::mqtt.sparkplug_nodes;
END;
COMMENT ON FUNCTION mqtt.sparkplug_node(uuid, uuid, text, jsonb) IS
'An edge node once messages have come; rebirth_at is infinity where its birth or a message is missing (Sparkplug 3.0.0 section 5.4).';
COMMIT;
