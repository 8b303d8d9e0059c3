-- Deploy topicbase:process/matching_rule to pg
-- requires: process/interpret_message
-- requires: tables/mqtt_credentials
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.matching_rule(integration_id uuid, topic text, payload jsonb, body bytea) RETURNS SETOF mqtt.payload_rules
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    SELECT r.*
    FROM mqtt.payload_rules AS r
    WHERE r.integration_id = matching_rule.integration_id
        AND r.topic_prefix = ANY (ARRAY(SELECT mqtt.topic_prefixes(matching_rule.topic)))
        AND mqtt.matched_levels(matching_rule.topic, r.topic_like, r.topic_levels) IS NOT NULL
        AND CASE
            WHEN r.condition_path IS NULL THEN true
            WHEN r.decode IS NULL THEN jsonb_path_match(matching_rule.payload, r.condition_path, '{"root": null, "parent": null}', true)
            ELSE jsonb_path_match((mqtt.rule_document(r.decode, matching_rule.payload, body, r.layout)).payload, r.condition_path, '{"root": null, "parent": null}', true)
        END
    ORDER BY r.position
    LIMIT 1;
END;
COMMENT ON FUNCTION mqtt.matching_rule(uuid, text, jsonb, bytea) IS
'The first of an integration''s payload rules that matches a message: by its topic, and by its payload as the content type has it, or as the rule decodes it from its bytes. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.interpretations(
    rule mqtt.payload_rules, topic text, payload jsonb, body bytea, credential_id uuid, login text DEFAULT NULL,
    received_at timestamptz DEFAULT now()
) RETURNS mqtt.interpretation []
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_levels CONSTANT text [] := string_to_array(topic, '/');
    v_document mqtt.decoded_payload := ROW(payload, NULL, NULL);
    v_login text := login;
    v_all mqtt.interpretation [] := '{}';
    v_found mqtt.interpretation := ROW(rule.id, 1, rule.role, NULL, NULL, NULL, NULL, NULL);
    v_sample record;
BEGIN
    IF rule.role = 'ignore' THEN
        RETURN ARRAY[v_found];
    ELSIF rule.decode IS NOT NULL THEN
        v_document := mqtt.rule_document(rule.decode, payload, body, rule.layout, received_at);
    END IF;
    IF v_document.body IS NOT NULL OR v_document.decode_error IS NOT NULL OR pg_column_size(v_document.payload) > 131072 THEN
        v_found.reason := format('rule %s: %s', rule.position, coalesce(
            v_document.decode_error, CASE WHEN v_document.body IS NULL THEN 'it takes more than 128 KiB' ELSE 'it is not what decode says' END
        ));
        RETURN ARRAY[v_found];
    END IF;
    IF v_login IS NULL AND rule.device LIKE '%{login}%' THEN
        v_login := (SELECT c.username FROM mqtt.mqtt_credentials AS c WHERE c.id = credential_id);
    END IF;
    IF cardinality(rule.sample_paths) = 0 THEN
        RETURN ARRAY[mqtt.interpreted_sample(
            rule, v_levels, v_document.payload,
            CASE WHEN rule.needs_variables THEN jsonb_build_object('root', v_document.payload, 'parent', NULL) ELSE '{}' END, v_login, 1
        )];
    END IF;
    FOR v_sample IN SELECT s.item, s.variables FROM mqtt.rule_samples(rule, v_document.payload) AS s LOOP
        IF cardinality(v_all) = 1000 THEN
            v_found.sample := 1001;
            v_found.reason := format('rule %s: it has more than 1,000 samples', rule.position);
            RETURN v_all || v_found;
        END IF;
        v_all := v_all || mqtt.interpreted_sample(rule, v_levels, v_sample.item, v_sample.variables, v_login, cardinality(v_all) + 1);
    END LOOP;
    IF v_all = '{}' THEN
        v_found.reason := format('rule %s: samples leads to nothing', rule.position);
        RETURN ARRAY[v_found];
    END IF;
    RETURN v_all;
EXCEPTION
    -- Rules are checked when they are written; what they meet nevertheless must not fail the messages of others.
    WHEN OTHERS THEN
        v_found := ROW(rule.id, 1, rule.role, NULL, NULL, NULL, NULL, left(format('rule %s: %s', rule.position, sqlerrm), 300));
        RETURN ARRAY[v_found];
END;
$$;
COMMENT ON FUNCTION mqtt.interpretations(mqtt.payload_rules, text, jsonb, bytea, uuid, text, timestamptz) IS
'What a payload rule makes of each sample in a message that it matches; login: else that of the credential; received_at: what relative times in it refer to.';
COMMIT;
