-- Deploy topicbase:api/device_presets to pg
-- requires: api/payload_rules
-- requires: integrations/device_presets
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.moved_template(template text, by integer) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT string_agg(
        CASE
            WHEN t.m[2] IS NULL THEN t.m[1]
            ELSE concat(
                '{topic[', t.m[2]::integer + CASE WHEN t.m[2]::integer > 0 THEN by ELSE 0 END, t.m[3],
                t.m[4]::integer + CASE WHEN t.m[4]::integer > 0 THEN by ELSE 0 END, ']}'
            )
        END, '' ORDER BY t.ordinality
    )
    FROM regexp_matches(template, '([^{]+|\{topic\[(-?[0-9]{1,4})(:)?(-?[0-9]{1,4})?\]\}|\{)', 'g') WITH ORDINALITY AS t (m, ordinality);
END;
COMMENT ON FUNCTION mqtt.moved_template(text, integer) IS 'The template for topics that have so many levels more at their head.';

CREATE OR REPLACE FUNCTION api.apply_device_preset(integration_id uuid, preset text, topic_prefix text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(apply_device_preset.integration_id, NULL, true);
    v_preset mqtt.device_presets := (SELECT p FROM mqtt.device_presets AS p WHERE p.preset = apply_device_preset.preset);
    v_prefix CONSTANT text := coalesce(
        apply_device_preset.topic_prefix,
        CASE WHEN v_integration.integration_type = 'mqtt_hosted' THEN (SELECT o.topic_prefix FROM mqtt.organizations AS o WHERE o.id = v_integration.organization_id) END
    );
    v_by CONSTANT integer := coalesce(cardinality(string_to_array(v_prefix, '/')), 0);
    v_first integer;
BEGIN
    IF v_preset IS NULL THEN
        PERFORM mqtt.require_argument('preset', preset);
        RAISE EXCEPTION 'preset_not_found' USING
            ERRCODE = 'PT404', DETAIL = format('There is no preset %s.', to_json(left(preset, 100))), HINT = 'list_device_presets shows all.';
    END IF;
    DELETE FROM mqtt.payload_rules AS r WHERE r.integration_id = v_integration.id AND r.preset = apply_device_preset.preset;
    v_first := coalesce((SELECT max(r.position) FROM mqtt.payload_rules AS r WHERE r.integration_id = v_integration.id) / 10 * 10, 0);
    INSERT INTO mqtt.payload_rules (
        organization_id, integration_id, position, topic, condition, role, device, decode, samples, "time", metrics, presence, preset, layout, transform, offline_after, description
    )
    SELECT
        v_integration.organization_id, v_integration.id, v_first + 10 * r.ordinality::integer, concat_ws('/', v_prefix, r.value ->> 'topic'),
        r.value ->> 'condition', coalesce(r.value ->> 'role', 'telemetry'), mqtt.moved_template(r.value ->> 'device', v_by), r.value ->> 'decode',
        ARRAY(SELECT jsonb_array_elements_text(r.value -> 'samples')), r.value -> 'time',
        coalesce((SELECT jsonb_object_agg(mqtt.moved_template(m.key, v_by), m.value) FROM jsonb_each(r.value -> 'metrics') AS m), '{}'),
        r.value ->> 'presence', apply_device_preset.preset, r.value -> 'layout', r.value ->> 'transform',
        (r.value -> 'offline_after')::integer, r.value ->> 'description'
    FROM jsonb_array_elements(v_preset.rules) WITH ORDINALITY AS r;
    PERFORM mqtt.refuse_rule('preset', 'brings more rules than the 500 that an integration may have')
    WHERE (SELECT count(*) FROM mqtt.payload_rules AS r WHERE r.integration_id = v_integration.id) > 500;
    RETURN jsonb_build_object(
        'topics', to_jsonb(ARRAY(SELECT concat_ws('/', v_prefix, t.topic) FROM unnest(v_preset.topics) AS t (topic))),
        'rules', (
            SELECT jsonb_agg(to_jsonb(r) ORDER BY r.position)
            FROM api.payload_rules AS r
            WHERE r.integration_id = v_integration.id AND r.preset = apply_device_preset.preset
        )
    );
END;
$$;
COMMENT ON FUNCTION api.apply_device_preset(uuid, text, text) IS
$md$Copy a preset's payload rules into an integration

They come after the rules that are there, replace those of the same preset, and can be edited like any other. topic_prefix stands before all
their topics; by default nothing, and at the hosted broker the organization's prefix. Answers `{"topics", "rules"}`: the topics are what the
integration has to subscribe to (mqtt_subscribe) unless it already does.
Errors: 400 `payload_rule_invalid` (topic_prefix is not a topic, or there would be more than 500 rules); 403 `admin_required`; 404 `integration_not_found`, `preset_not_found`.
Answer: {"topics": ["text"], "rules": ["payload_rules"]}$md$;

CREATE OR REPLACE FUNCTION api.list_device_presets() RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p.preset), '[]') FROM mqtt.device_presets AS p;
END;
COMMENT ON FUNCTION api.list_device_presets() IS
$md$List the presets for device ecosystems

Answers `[{"preset", "title", "description", "topics", "rules"}]`: topics are what to subscribe to at the ecosystem's broker, rules what
apply_device_preset copies into an integration.
Answer: ["mqtt.device_presets"]$md$;
GRANT EXECUTE ON FUNCTION api.list_device_presets(), mqtt.moved_template(text, integer), api.apply_device_preset(uuid, text, text) TO authenticated, service_role;
COMMIT;
