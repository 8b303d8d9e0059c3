-- Deploy topicbase:process/transformed to pg
-- requires: process/matched_rules
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.decoded_for(rule_decode text, layout jsonb, payload jsonb, body bytea, received_at timestamptz) RETURNS mqtt.decoded_payload
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN rule_decode = 'sparkplug' AND mqtt.has_far_numbers(payload) THEN ROW('null'::jsonb, NULL, mqtt.far_exponents_reason())::mqtt.decoded_payload
        WHEN mqtt.is_document(rule_decode, payload, body) THEN ROW(payload, NULL, NULL)::mqtt.decoded_payload
        WHEN rule_decode LIKE '% of %' THEN mqtt.member_document(rule_decode, payload, layout, received_at)
        ELSE mqtt.rule_document(rule_decode, payload, body, layout, received_at)
    END;
END;
COMMENT ON FUNCTION mqtt.decoded_for(text, jsonb, jsonb, bytea, timestamptz) IS 'A message as a rule decodes it. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.document_reason(role text, decoded mqtt.decoded_payload) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN role = 'ignore' THEN ''
        WHEN (decoded).decode_error IS NOT NULL THEN (decoded).decode_error
        WHEN (decoded).body IS NOT NULL THEN 'it is not what decode says'
        WHEN pg_column_size((decoded).payload) > 131072 THEN 'it takes more than 128 KiB'
    END;
END;
COMMENT ON FUNCTION mqtt.document_reason(text, mqtt.decoded_payload) IS
'Why a message is not interpreted: null where it is, empty where its rule ignores it. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.transform_results(transforms text [], documents text []) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.py_transform(transforms, documents);
EXCEPTION
    -- There is no such function, or the server no longer loads its library or PL/Python's.
    WHEN undefined_function OR undefined_file OR internal_error OR external_routine_exception THEN
        RETURN (
            SELECT jsonb_agg(jsonb_build_object('reason', 'codec_unavailable: this server has no JMESPath (see mqtt.codecs())'))
            FROM unnest(documents)
        );
END;
$$;
COMMENT ON FUNCTION mqtt.transform_results(text [], text []) IS
'What transforms make of documents, one of each, in their order: {"made"} or {"reason"}.';

CREATE OR REPLACE FUNCTION mqtt.transforms_due(messages mqtt.rule_message []) RETURNS TABLE (place bigint, transform text, document text, slice numeric)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH message AS MATERIALIZED (
        SELECT m
        FROM unnest(messages) AS m
        WHERE (m.transformed).payload IS NULL AND m.integration_id IN (SELECT r.integration_id FROM mqtt.payload_rules AS r WHERE r.transform IS NOT NULL)
    )
    SELECT
        d.place, d.transform, d.document,
        -- The steps that each may take (plpython/transform.py), and something for reading the expression.
        div(sum(least(262144, 2000 + 8 * octet_length(d.document)) + 2 * octet_length(d.transform)) OVER (ORDER BY d.place), 1048576)
    FROM (
        SELECT x.place, r.transform, (a.decoded).payload::text AS document
        FROM mqtt.matched_rules(ARRAY(SELECT m.m FROM message AS m)) AS x
        JOIN message AS m ON (m.m).place = x.place
        JOIN mqtt.payload_rules AS r ON r.id = x.rule_id
        CROSS JOIN LATERAL (SELECT mqtt.decoded_for(r.decode, r.layout, mqtt.payload_for(r.decode, (m.m).payload, (m.m).metadata), (m.m).body, (m.m).received_at) AS decoded OFFSET 0) AS a
        WHERE r.transform IS NOT NULL AND mqtt.document_reason(r.role, a.decoded) IS NULL
        OFFSET 0
    ) AS d;
END;
$$;
COMMENT ON FUNCTION mqtt.transforms_due(mqtt.rule_message []) IS
'Those of these messages whose rules have a transform that has not been applied, decoded; slice: those that are transformed at once.';

CREATE OR REPLACE FUNCTION mqtt.transforms_made(messages mqtt.rule_message []) RETURNS TABLE (place bigint, made jsonb, reason text)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_slice record;
BEGIN
    -- No more at once than takes a second, as nothing interrupts Python.
    FOR v_slice IN
        SELECT
            array_agg(t.place ORDER BY t.place) AS places, array_agg(t.transform ORDER BY t.place) AS transforms,
            array_agg(t.document ORDER BY t.place) AS documents
        FROM mqtt.transforms_due(messages) AS t
        GROUP BY t.slice
    LOOP
        RETURN QUERY
        SELECT p.place, e.value -> 'made', e.value ->> 'reason'
        FROM unnest(v_slice.places) WITH ORDINALITY AS p (place, ordinality)
        JOIN jsonb_array_elements(mqtt.transform_results(v_slice.transforms, v_slice.documents)) WITH ORDINALITY AS e ON e.ordinality = p.ordinality;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.transforms_made(mqtt.rule_message []) IS 'What the transforms of their rules make of messages, or why they make nothing.';

CREATE OR REPLACE FUNCTION mqtt.transformed(messages mqtt.rule_message []) RETURNS mqtt.rule_message []
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT ROW(
            m.place, m.integration_id, m.credential_id, m.topic, m.payload, m.body, m.received_at, m.login,
            CASE
                WHEN t.place IS NULL THEN m.transformed
                WHEN mqtt.has_far_numbers(t.made) THEN ROW('null'::jsonb, NULL, 'transform_failed: ' || mqtt.far_exponents_reason())::mqtt.decoded_payload
                ELSE ROW(
                    coalesce(t.made, 'null'), NULL, CASE WHEN t.made = 'null' THEN 'transform_failed: it makes null' ELSE t.reason END
                )::mqtt.decoded_payload
            END, m.metadata
        )::mqtt.rule_message
        FROM unnest(messages) AS m
        LEFT JOIN mqtt.transforms_made(messages) AS t ON t.place = m.place
    );
END;
$$;
COMMENT ON FUNCTION mqtt.transformed(mqtt.rule_message []) IS
'The same messages with what the transforms of their rules make of them, where they have one.';
COMMIT;
