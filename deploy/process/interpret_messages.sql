-- Deploy topicbase:process/interpret_messages to pg
-- requires: process/interpret_message
-- requires: process/transformed
-- requires: tables/mqtt_credentials
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.message_items(rule mqtt.payload_rules, document jsonb, fault text)
RETURNS TABLE (number integer, item jsonb, variables jsonb)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    SELECT 1, document, CASE WHEN (rule).needs_variables THEN jsonb_build_object('root', document, 'parent', NULL) ELSE '{}' END
    WHERE fault IS NULL AND cardinality((rule).sample_paths) = 0
    UNION ALL
    SELECT q.ordinality::integer, q.item, v.variables
    FROM (
        SELECT CASE WHEN (rule).needs_variables THEN jsonb_build_object('root', document, 'parent', document) ELSE '{}' END AS variables OFFSET 0
    ) AS v
    CROSS JOIN LATERAL jsonb_path_query(document, (rule).sample_paths[1], v.variables, true) WITH ORDINALITY AS q (item, ordinality)
    WHERE fault IS NULL AND cardinality((rule).sample_paths) = 1 AND q.ordinality <= 1001
    UNION ALL
    SELECT s.ordinality::integer, s.item, s.variables
    FROM mqtt.rule_samples(rule, document) WITH ORDINALITY AS s (item, variables, ordinality)
    WHERE fault IS NULL AND cardinality((rule).sample_paths) > 1;
END;
COMMENT ON FUNCTION mqtt.message_items(mqtt.payload_rules, jsonb, text) IS
'The samples in a message that has no fault, each with what its paths may name ($root, $parent); at most 1,001. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.interpreted_facts(presence text, metadata jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN presence IS NULL AND metadata IS NULL THEN NULL
        WHEN metadata IS NULL THEN jsonb_build_object('presence', presence)
        WHEN presence IS NULL THEN jsonb_build_object('metadata', metadata)
        ELSE jsonb_build_object('presence', presence, 'metadata', metadata)
    END;
END;
COMMENT ON FUNCTION mqtt.interpreted_facts(text, jsonb) IS 'What a sample says of its device besides readings; null where that is nothing.';

CREATE OR REPLACE FUNCTION mqtt.interpret_messages(messages mqtt.rule_message []) RETURNS mqtt.interpretation []
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT ROW(
            m.place, r.id, coalesce(i.number, 1), r.role, CASE WHEN f.fault IS NULL THEN f.name END, f.sent_at,
            CASE WHEN f.fault IS NULL AND r.role <> 'attributes' AND f.data <> '{}' THEN f.data END,
            CASE
                WHEN f.fault IS NULL THEN mqtt.interpreted_facts(
                    f.presence, CASE WHEN r.role = 'attributes' THEN mqtt.metadata_of(f.data) WHEN i.number = 1 AND r.decode = 'sparkplug' THEN nullif(m.metadata, '{}') END
                )
            END,
            CASE
                WHEN d.fault = '' THEN NULL
                WHEN i.number <= 1000
                    THEN coalesce(f.fault, f.reason, CASE WHEN f.data = '{}' AND r.role <> 'attributes' THEN 'none of its metrics is there' END)
                ELSE format(
                    'rule %s: %s', r.position,
                    coalesce(d.fault, CASE WHEN i.number IS NULL THEN 'samples leads to nothing' ELSE 'it has more than 1,000 samples' END)
                )
            END
        )::mqtt.interpretation
        FROM mqtt.matched_rules(messages) AS x
        JOIN unnest(messages) AS m ON m.place = x.place
        JOIN mqtt.payload_rules AS r ON r.id = x.rule_id
        CROSS JOIN LATERAL (
            SELECT CASE WHEN (m.transformed).payload IS NOT NULL THEN m.transformed
                    ELSE mqtt.decoded_for(
                        CASE WHEN r.role <> 'ignore' THEN r.decode END, r.layout, mqtt.payload_for(r.decode, m.payload, m.metadata), m.body, m.received_at
                    ) END AS decoded,
                string_to_array(m.topic, '/') AS levels,
                CASE WHEN r.needs_login THEN coalesce(
                    m.login, (SELECT c.username FROM mqtt.mqtt_credentials AS c WHERE c.id = m.credential_id)
                ) END AS login
            OFFSET 0
        ) AS a
        CROSS JOIN LATERAL (SELECT (a.decoded).payload AS document, mqtt.document_reason(r.role, a.decoded) AS fault OFFSET 0) AS d
        LEFT JOIN LATERAL mqtt.message_items(r, d.document, d.fault) AS i ON true
        LEFT JOIN LATERAL mqtt.interpreted_item(r, a.levels, i.item, i.variables, a.login, i.number) AS f ON i.number <= 1000
    );
END;
$$;
COMMENT ON FUNCTION mqtt.interpret_messages(mqtt.rule_message []) IS
'What payload rules make of each sample in these messages; nothing of a message that no rule matches. Raises where one of them fails.';

CREATE OR REPLACE FUNCTION mqtt.failed_interpretation(message mqtt.rule_message, error text) RETURNS mqtt.interpretation
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_found mqtt.interpretation := ROW(message.place, NULL, 1, NULL, NULL, NULL, NULL, NULL, left(error, 300));
BEGIN
    SELECT message.place, r.id, 1, r.role, NULL, NULL, NULL, NULL, left(format('rule %s: %s', r.position, error), 300) INTO v_found
    FROM mqtt.matched_rules(ARRAY[message]) AS x
    JOIN mqtt.payload_rules AS r ON r.id = x.rule_id;
    RETURN v_found;
EXCEPTION
    -- The condition is what fails.
    WHEN OTHERS THEN
        RETURN v_found;
END;
$$;
COMMENT ON FUNCTION mqtt.failed_interpretation(mqtt.rule_message, text) IS 'What there is of a message that its payload rule fails on: the reason.';

CREATE OR REPLACE FUNCTION mqtt.interpretations(messages mqtt.rule_message []) RETURNS mqtt.interpretation []
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_half CONSTANT integer := cardinality(messages) / 2;
    v_messages mqtt.rule_message [] := messages;
BEGIN
    IF EXISTS (
        SELECT
        FROM mqtt.payload_rules AS r
        WHERE r.transform IS NOT NULL AND r.integration_id IN (SELECT m.integration_id FROM unnest(messages) AS m)
    ) THEN
        v_messages := mqtt.transformed(messages);
    END IF;
    RETURN mqtt.interpret_messages(v_messages);
EXCEPTION
    -- Rules are checked when they are written; what they meet nevertheless must not fail the messages of others.
    WHEN OTHERS THEN
        IF v_half = 0 THEN
            RETURN ARRAY[mqtt.failed_interpretation(messages[1], sqlerrm)];
        END IF;
        -- What is transformed already is not again.
        RETURN mqtt.interpretations(v_messages[:v_half]) || mqtt.interpretations(v_messages[v_half + 1:]);
END;
$$;
COMMENT ON FUNCTION mqtt.interpretations(mqtt.rule_message []) IS
'What payload rules make of each sample in these messages; where one fails, its reason is all there is of it.';
COMMIT;
