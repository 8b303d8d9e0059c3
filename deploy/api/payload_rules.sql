-- Deploy topicbase:api/payload_rules to pg
-- requires: integrations/access
-- requires: integrations/payload_rules
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE VIEW api.payload_rules WITH (security_invoker = true) AS
SELECT
    r.id, r.organization_id, r.integration_id, r.position, r.topic, r.condition, r.role, r.device, r.decode, r.samples, r.time, r.metrics,
    r.presence, r.description, r.preset, r.created_at, r.updated_at, r.layout, r.offline_after, r.transform
FROM mqtt.payload_rules AS r;
COMMENT ON VIEW api.payload_rules IS
$md$Payload rules

What your integrations' messages say of their devices: of each message, the first rule by position that matches it.$md$;
COMMENT ON COLUMN api.payload_rules.id IS 'Rule id';
COMMENT ON COLUMN api.payload_rules.organization_id IS 'Organization that it belongs to';
COMMENT ON COLUMN api.payload_rules.integration_id IS 'Integration whose messages it interprets';
COMMENT ON COLUMN api.payload_rules.position IS 'Rules are tried in this order; the first that matches decides';
COMMENT ON COLUMN api.payload_rules.topic IS 'MQTT topic filter';
COMMENT ON COLUMN api.payload_rules.condition IS 'SQL/JSON path predicate that the payload must fulfil';
COMMENT ON COLUMN api.payload_rules.role IS 'telemetry, status, event, command, attributes or ignore';
COMMENT ON COLUMN api.payload_rules.device IS 'Template of the device''s external id: {topic[2]}, {topic[2:-1]}, {$.path}, {login}';
COMMENT ON COLUMN api.payload_rules.decode IS 'What the payload''s bytes are; null: as the content type says';
COMMENT ON COLUMN api.payload_rules.layout IS 'Fields of binary payloads, or names of the columns of CSV';
COMMENT ON COLUMN api.payload_rules.transform IS 'JMESPath expression that is applied to the decoded payload first';
COMMENT ON COLUMN api.payload_rules.samples IS 'SQL/JSON paths to the samples in a message, each below what the one before found';
COMMENT ON COLUMN api.payload_rules.time IS 'Path to the time, with its unit or zone';
COMMENT ON COLUMN api.payload_rules.metrics IS 'Names of metrics to SQL/JSON paths';
COMMENT ON COLUMN api.payload_rules.presence IS 'SQL/JSON path to what tells whether the device is online';
COMMENT ON COLUMN api.payload_rules.offline_after IS 'Seconds of silence after which a device with topics of this rule is offline; null: as the integration''s setting says';
COMMENT ON COLUMN api.payload_rules.description IS 'A note, for people';
COMMENT ON COLUMN api.payload_rules.preset IS 'Preset that it came from; null for one written by hand';
COMMENT ON COLUMN api.payload_rules.created_at IS 'When it was created';
COMMENT ON COLUMN api.payload_rules.updated_at IS 'When it was last changed';
GRANT SELECT ON api.payload_rules TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.rule_json(rule_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT to_jsonb(r) FROM api.payload_rules AS r WHERE r.id = rule_id;
END;
COMMENT ON FUNCTION mqtt.rule_json(uuid) IS 'A payload rule as the API shows it.';

CREATE OR REPLACE FUNCTION mqtt.require_rule(rule_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rule CONSTANT jsonb := mqtt.rule_json(rule_id);
BEGIN
    IF v_rule IS NULL THEN
        PERFORM mqtt.require_argument('rule_id', rule_id::text);
        RAISE EXCEPTION 'payload_rule_not_found' USING
            ERRCODE = 'PT404', DETAIL = format('There is no payload rule %s that you may see.', rule_id),
            HINT = 'GET /payload_rules lists yours.';
    END IF;
    RETURN v_rule;
END;
$$;
COMMENT ON FUNCTION mqtt.require_rule(uuid) IS 'A payload rule that the caller sees, as the API shows it. Raises PT404 payload_rule_not_found.';
GRANT EXECUTE ON FUNCTION mqtt.require_rule(uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.upsert_payload_rule(
    integration_id uuid, topic text, device text DEFAULT NULL, role text DEFAULT 'telemetry', "condition" text DEFAULT NULL, decode text DEFAULT NULL,
    samples text [] DEFAULT '{}', "time" jsonb DEFAULT NULL, metrics jsonb DEFAULT '{"*": "$"}', presence text DEFAULT NULL,
    description text DEFAULT NULL, "position" integer DEFAULT NULL, rule_id uuid DEFAULT NULL,
    layout jsonb DEFAULT NULL, offline_after integer DEFAULT NULL, transform text DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(upsert_payload_rule.integration_id, NULL, true);
    v_id uuid;
BEGIN
    PERFORM mqtt.refuse_rule('role', 'must be telemetry, status, event, command, attributes or ignore')
    WHERE coalesce(upsert_payload_rule.role NOT IN ('telemetry', 'status', 'event', 'command', 'attributes', 'ignore'), true);
    PERFORM mqtt.refuse_rule('position', 'must be a whole number from 1') WHERE upsert_payload_rule."position" < 1;
    PERFORM mqtt.refuse_rule('metrics', 'must be an object') WHERE coalesce(jsonb_typeof(upsert_payload_rule.metrics) <> 'object', true);
    PERFORM mqtt.refuse_rule('samples', 'must be an array of at most three paths') WHERE coalesce(cardinality(upsert_payload_rule.samples) > 3, true);
    PERFORM mqtt.refuse_rule('description', 'must have at most 1,000 characters') WHERE length(upsert_payload_rule.description) > 1000;
    PERFORM mqtt.require_rule(upsert_payload_rule.rule_id) WHERE upsert_payload_rule.rule_id IS NOT NULL;
    IF upsert_payload_rule.rule_id IS NULL AND (
        SELECT count(*) FROM mqtt.payload_rules AS r WHERE r.integration_id = upsert_payload_rule.integration_id
    ) >= 500 THEN
        PERFORM mqtt.refuse_rule('integration_id', 'has 500 rules, the most that an integration may have');
    END IF;
    INSERT INTO mqtt.payload_rules AS r (
        id, organization_id, integration_id, position, topic, condition, role, device, decode, samples, "time", metrics, presence, description, layout,
        offline_after, transform
    )
    VALUES (
        coalesce(upsert_payload_rule.rule_id, gen_random_uuid()), v_integration.organization_id, v_integration.id,
        coalesce(
            upsert_payload_rule."position", (SELECT x.position FROM mqtt.payload_rules AS x WHERE x.id = upsert_payload_rule.rule_id),
            (SELECT max(x.position) FROM mqtt.payload_rules AS x WHERE x.integration_id = v_integration.id) / 10 * 10 + 10, 10
        ),
        upsert_payload_rule.topic, upsert_payload_rule."condition", upsert_payload_rule.role, upsert_payload_rule.device, upsert_payload_rule.decode,
        upsert_payload_rule.samples, upsert_payload_rule."time", upsert_payload_rule.metrics, upsert_payload_rule.presence,
        upsert_payload_rule.description, upsert_payload_rule.layout, upsert_payload_rule.offline_after,
        upsert_payload_rule.transform
    )
    ON CONFLICT (id) DO UPDATE SET
        position = excluded.position, topic = excluded.topic, condition = excluded.condition, role = excluded.role, device = excluded.device,
        decode = excluded.decode, samples = excluded.samples, "time" = excluded."time", metrics = excluded.metrics, presence = excluded.presence,
        description = excluded.description, layout = excluded.layout, offline_after = excluded.offline_after, transform = excluded.transform
    WHERE r.integration_id = excluded.integration_id
    RETURNING r.id INTO v_id;
    IF v_id IS NULL THEN
        PERFORM mqtt.refuse_rule('rule_id', 'is that of a rule of another integration');
    END IF;
    SET CONSTRAINTS mqtt.payload_rules_integration_id_position_key IMMEDIATE;
    RETURN mqtt.rule_json(v_id);
EXCEPTION
    WHEN unique_violation THEN
        RAISE EXCEPTION 'position_taken' USING
            ERRCODE = 'PT409',
            DETAIL = format('Another rule of the integration has position %s.', upsert_payload_rule."position"),
            HINT = 'Rules are tried by position, the smallest first: choose one between those of its neighbours.';
END;
$$;
COMMENT ON FUNCTION api.upsert_payload_rule(
    uuid, text, text, text, text, text, text [], jsonb, jsonb, text, text, integer, uuid, jsonb, integer, text
) IS
$md$Create or replace a payload rule

A rule says what the messages whose topic matches `topic` (an MQTT filter) and whose payload fulfils `condition` are: their `role`, the
`device` that they are about, the `time` and the `metrics` in them. Of an integration's rules the first by `position` that matches a message
decides; new ones go to the end. With rule_id that rule is replaced as a whole. The API reference explains each part with examples;
try_payload_rules shows what would become of a message.
Errors: 400 `payload_rule_invalid` (details name the part and the place); 403 `admin_required`; 404 `integration_not_found`,
`payload_rule_not_found`; 409 `position_taken`.
Answer: "payload_rules"$md$;

CREATE OR REPLACE FUNCTION api.delete_payload_rule(rule_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rule CONSTANT jsonb := mqtt.require_rule(delete_payload_rule.rule_id);
BEGIN
    PERFORM mqtt.require_integration((v_rule ->> 'integration_id')::uuid, NULL, true);
    DELETE FROM mqtt.payload_rules AS r WHERE r.id = delete_payload_rule.rule_id;
    RETURN v_rule;
END;
$$;
COMMENT ON FUNCTION api.delete_payload_rule(uuid) IS
$md$Delete a payload rule

Returns the deleted rule. Readings that it made stay.
Errors: 403 `admin_required`; 404 `payload_rule_not_found`.
Answer: "payload_rules"$md$;
GRANT EXECUTE ON FUNCTION api.upsert_payload_rule(uuid, text, text, text, text, text, text [], jsonb, jsonb, text, text, integer, uuid, jsonb, integer, text),
api.delete_payload_rule(uuid), mqtt.rule_json(uuid) TO authenticated, service_role;
COMMIT;
