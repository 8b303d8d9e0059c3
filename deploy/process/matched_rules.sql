-- Deploy topicbase:process/matched_rules to pg
-- requires: process/interpretation
-- requires: process/rule_values
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.is_document(decode text, payload jsonb, body bytea) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT decode IS NULL OR decode = 'json' AND body IS NULL OR decode = 'sparkplug' AND payload ? 'sparkplug';
END;
COMMENT ON FUNCTION mqtt.is_document(text, jsonb, bytea) IS 'Whether a payload is what a rule decodes already.';

CREATE OR REPLACE FUNCTION mqtt.payload_for(decode text, payload jsonb, metadata jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN decode = 'sparkplug' AND metadata IS NULL THEN NULL ELSE payload END;
END;
COMMENT ON FUNCTION mqtt.payload_for(text, jsonb, jsonb) IS
'The payload of a message for a rule; null where its sender wrote what Sparkplug B is decoded to, which would name any device. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.is_fulfilled(condition jsonpath, decode text, layout jsonb, payload jsonb, body bytea) RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT condition IS NULL OR jsonb_path_match(
        CASE WHEN mqtt.is_document(decode, payload, body) OR decode LIKE '% of %' THEN payload ELSE (mqtt.rule_document(decode, payload, body, layout)).payload END,
        condition, '{"root": null, "parent": null}', true
    );
END;
COMMENT ON FUNCTION mqtt.is_fulfilled(jsonpath, text, jsonb, jsonb, bytea) IS
'Whether a message fulfils the condition of a rule: its payload as the content type has it, or as the rule decodes it from its bytes, but for members of it. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.matched_rules(messages mqtt.rule_message []) RETURNS TABLE (place bigint, rule_id uuid)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH message AS MATERIALIZED (
        SELECT x.place, x.integration_id, x.topic, x.payload, x.body, x.metadata FROM unnest(messages) AS x
    ),
    -- Which rules a topic has is looked up once, not for each message.
    known AS MATERIALIZED (
        SELECT t.integration_id, t.topic, c.*
        FROM (SELECT DISTINCT m.integration_id, m.topic FROM message AS m) AS t
        CROSS JOIN LATERAL (SELECT ARRAY(SELECT mqtt.topic_prefixes(t.topic)) AS prefixes OFFSET 0) AS p
        CROSS JOIN LATERAL (
            SELECT
                array_agg(r.id ORDER BY r.position) AS ids, array_agg(r.condition_path ORDER BY r.position) AS conditions,
                array_agg(r.decode ORDER BY r.position) AS decodes, array_agg(r.layout ORDER BY r.position) AS layouts
            FROM mqtt.payload_rules AS r
            WHERE r.integration_id = t.integration_id AND r.topic_prefix = ANY (p.prefixes)
                AND mqtt.matched_levels(t.topic, r.topic_like, r.topic_levels) IS NOT NULL
        ) AS c
        WHERE c.ids IS NOT NULL
    )
    SELECT f.place, f.rule_id
    FROM (
        SELECT m.place, CASE
            WHEN k.conditions[1] IS NULL THEN k.ids[1]
            ELSE (
                -- In the order of the arrays, and no further than to the first.
                SELECT c.id
                FROM unnest(k.ids, k.conditions, k.decodes, k.layouts) AS c (id, condition, decode, layout)
                WHERE mqtt.is_fulfilled(c.condition, c.decode, c.layout, mqtt.payload_for(c.decode, m.payload, m.metadata), m.body)
                LIMIT 1
            )
        END AS rule_id
        FROM message AS m
        JOIN known AS k ON k.integration_id = m.integration_id AND k.topic = m.topic
    ) AS f
    WHERE f.rule_id IS NOT NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.matched_rules(mqtt.rule_message []) IS
'The first of its integration''s payload rules that each of these messages matches, by its topic and its payload; none for those that match none.';
COMMIT;
