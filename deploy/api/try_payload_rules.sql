-- Deploy topicbase:api/try_payload_rules to pg
-- requires: api/payload_rules
-- requires: process/decoded_message
-- requires: process/interpret_messages
-- requires: process/sparkplug
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.rules_considered(integration_id uuid, topic text, matched uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'position', r.position, 'topic', r.topic, 'condition', r.condition,
        'matches', CASE
            WHEN r.id = matched THEN 'yes'
            WHEN mqtt.matched_levels(rules_considered.topic, r.topic_like, r.topic_levels) IS NULL THEN 'no, by its topic'
            ELSE 'no, by its condition'
        END
    ) ORDER BY r.position), '[]')
    FROM mqtt.payload_rules AS r
    WHERE r.integration_id = rules_considered.integration_id
        AND r.position <= coalesce((SELECT m.position FROM mqtt.payload_rules AS m WHERE m.id = matched), r.position);
END;
COMMENT ON FUNCTION mqtt.rules_considered(uuid, text, uuid) IS 'The rules that were tried for a topic, up to the one that matched, and why the others did not.';

CREATE OR REPLACE FUNCTION mqtt.tried_sparkplug(message mqtt.rule_message) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_messages CONSTANT mqtt.sparkplug_message [] := ARRAY(SELECT m.message FROM mqtt.sparkplug_messages(ARRAY[message]) AS m);
BEGIN
    IF v_messages = '{}' THEN
        RETURN NULL;
    END IF;
    RETURN nullif(mqtt.decoded_sparkplug(v_messages, ARRAY(
        SELECT n FROM mqtt.sparkplug_nodes AS n WHERE n.integration_id = v_messages[1].integration_id AND n.node = v_messages[1].node
    )) #> '{documents,0}', 'null');
EXCEPTION
    -- The server has no PL/Python.
    WHEN undefined_function THEN
        RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.tried_sparkplug(mqtt.rule_message) IS 'A Sparkplug B message with the names known so far, if its integration has rules for it.';

CREATE OR REPLACE FUNCTION mqtt.tried_transform(message mqtt.rule_message) RETURNS mqtt.rule_message
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (mqtt.transformed(ARRAY[message]))[1];
EXCEPTION
    -- A condition that fails; mqtt.interpretations says so.
    WHEN data_exception THEN
        RETURN message;
END;
$$;
COMMENT ON FUNCTION mqtt.tried_transform(mqtt.rule_message) IS 'A message with what the transform of its rule makes of it, if there is one.';

CREATE OR REPLACE FUNCTION api.try_payload_rules(
    integration_id uuid, topic text, payload jsonb DEFAULT NULL, payload_base64 text DEFAULT NULL, content_type text DEFAULT NULL, login text DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(try_payload_rules.integration_id);
    v_body bytea := mqtt.try_base64(try_payload_rules.payload_base64);
    v_decoded mqtt.decoded_payload;
    v_message mqtt.rule_message;
    v_sparkplug jsonb;
    v_found mqtt.interpretation [];
BEGIN
    IF mqtt.topic_name_reason(ltrim(try_payload_rules.topic, '$')) IS NOT NULL THEN
        RAISE EXCEPTION 'topic_invalid' USING
            ERRCODE = 'PT400', DETAIL = mqtt.topic_name_reason(ltrim(try_payload_rules.topic, '$')), HINT = 'Send the topic of a message, not a filter.';
    ELSIF try_payload_rules.payload_base64 IS NOT NULL AND (v_body IS NULL OR try_payload_rules.payload IS NOT NULL) THEN
        RAISE EXCEPTION 'argument_conflict' USING
            ERRCODE = 'PT400', DETAIL = 'Send payload (JSON) or payload_base64 (bytes in padded base64).', HINT = 'What brokers deliver are bytes.';
    END IF;
    v_decoded := CASE
        WHEN v_body IS NULL THEN ROW(coalesce(try_payload_rules.payload, 'null'), NULL, NULL)::mqtt.decoded_payload
        ELSE mqtt.decode_payload(coalesce(try_payload_rules.content_type, v_integration.settings ->> 'content_type'), v_body)
    END;
    v_message := ROW(1, v_integration.id, NULL, try_payload_rules.topic, v_decoded.payload, v_body, now(), try_payload_rules.login, NULL, NULL);
    v_sparkplug := mqtt.tried_sparkplug(v_message);
    v_message.payload := coalesce(v_sparkplug - 'metadata', v_message.payload);
    v_message.metadata := CASE WHEN v_sparkplug IS NOT NULL THEN coalesce(v_sparkplug -> 'metadata', '{}') END;
    v_message := mqtt.tried_transform(v_message);
    v_found := mqtt.interpretations(ARRAY[v_message]);
    RETURN jsonb_build_object(
        'rule', (SELECT mqtt.rule_json(r.id) FROM mqtt.payload_rules AS r WHERE r.id = v_found[1].rule_id),
        'payload', v_message.payload, 'decode_error', v_decoded.decode_error, 'transformed', (v_message.transformed).payload,
        'samples', coalesce((
            SELECT jsonb_agg(jsonb_build_object(
                'role', f.role, 'device', f.external_id, 'time', f.sent_at, 'metrics', f.data, 'presence', f.facts -> 'presence',
                'metadata', f.facts -> 'metadata', 'reason', f.reason
            ) ORDER BY f.sample)
            FROM unnest(v_found) AS f
        ), '[]'),
        'considered', mqtt.rules_considered(v_integration.id, try_payload_rules.topic, v_found[1].rule_id)
    );
END;
$$;
COMMENT ON FUNCTION api.try_payload_rules(uuid, text, jsonb, text, text, text) IS
$md$Show what the payload rules make of a message

Nothing is stored. payload is JSON; payload_base64 are the bytes that a broker would deliver, with their content_type (default: the
integration's); login is the username of a device that sends over HTTP. Answers `{"rule", "payload", "decode_error", "transformed", "samples", "considered"}`:
the rule that matched (null: none, so that topic_pattern decides), the payload as JSON, what the rule's transform makes of it, of each sample its role, device, time, metrics, presence,
metadata and why anything is missing (reason), and which rules were tried and why they did not match.
Errors: 400 `topic_invalid`, `argument_conflict`; 404 `integration_not_found`.
Answer: {"rule": "payload_rules?", "payload": "json", "decode_error": "text?", "transformed": "json", "samples": [{"role": "text?", "device": "text?",
"time": "time?", "metrics": "json", "presence": "json", "metadata": "json", "reason": "text?"}],
"considered": [{"position": "integer", "topic": "text", "condition": "text?", "matches": "text"}]}$md$;
GRANT EXECUTE ON FUNCTION api.try_payload_rules(uuid, text, jsonb, text, text, text) TO authenticated, service_role;
COMMIT;
