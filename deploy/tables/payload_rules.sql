-- Deploy topicbase:tables/payload_rules to pg
-- requires: tables/device_integrations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.payload_rules (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL,
    position integer NOT NULL CHECK (position > 0),
    topic text NOT NULL,
    condition text,
    role text NOT NULL DEFAULT 'telemetry' CHECK (role IN ('telemetry', 'status', 'event', 'command', 'attributes', 'ignore')),
    device text,
    decode text,
    layout jsonb,
    transform text,
    samples text [] NOT NULL DEFAULT '{}' CHECK (cardinality(samples) <= 3),
    time jsonb,
    metrics jsonb NOT NULL DEFAULT '{"*": "$"}' CHECK (jsonb_typeof(metrics) = 'object'),
    presence text,
    offline_after integer CHECK (offline_after BETWEEN 60 AND 31622400),
    description text CHECK (length(description) <= 1000),
    preset text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    topic_prefix text NOT NULL DEFAULT '',
    topic_like text NOT NULL DEFAULT '%',
    topic_levels smallint NOT NULL DEFAULT 1,
    condition_path jsonpath,
    device_parts jsonb,
    device_level smallint,
    device_path jsonpath,
    sample_paths jsonpath [] NOT NULL DEFAULT '{}',
    time_path jsonpath,
    presence_path jsonpath,
    metric_names text [] NOT NULL DEFAULT '{}',
    metric_parts jsonb [] NOT NULL DEFAULT '{}',
    metric_paths jsonpath [] NOT NULL DEFAULT '{}',
    metric_types text [] NOT NULL DEFAULT '{}',
    omitted text [] NOT NULL DEFAULT '{}',
    is_flat boolean NOT NULL DEFAULT false,
    needs_variables boolean NOT NULL DEFAULT true,
    needs_login boolean NOT NULL DEFAULT true,
    UNIQUE (integration_id, position) DEFERRABLE,
    FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX payload_rules_prefix_idx ON mqtt.payload_rules (integration_id, topic_prefix, position);
CREATE INDEX payload_rules_organization_idx ON mqtt.payload_rules (organization_id, integration_id);
CREATE INDEX payload_rules_silence_idx ON mqtt.payload_rules (integration_id) WHERE offline_after IS NOT NULL;
CREATE INDEX payload_rules_transform_idx ON mqtt.payload_rules (integration_id) WHERE transform IS NOT NULL;
CREATE INDEX payload_rules_sparkplug_idx ON mqtt.payload_rules (integration_id) WHERE decode = 'sparkplug';
COMMENT ON TABLE mqtt.payload_rules IS 'What an integration''s messages say of their devices: of each message, the first rule by position that matches it.';
COMMENT ON COLUMN mqtt.payload_rules.topic IS 'MQTT topic filter.';
COMMENT ON COLUMN mqtt.payload_rules.condition IS 'SQL/JSON path predicate that the payload must fulfil, such as $._type == "location".';
COMMENT ON COLUMN mqtt.payload_rules.role IS 'telemetry, status, event, command, attributes or ignore.';
COMMENT ON COLUMN mqtt.payload_rules.device IS 'Template of the device''s external id, such as {topic[2]}/{$.id}; null names none.';
COMMENT ON COLUMN mqtt.payload_rules.decode IS 'What the payload''s bytes are, such as json, text or base64 cbor; null: as the content type says.';
COMMENT ON COLUMN mqtt.payload_rules.layout IS 'Of binary: the fields, [{"format", "name", "scale"}]; of csv: the names of the columns, [name], unless the first row has them; of protobuf: {"message", "types", "enums"}, read from a descriptor set.';
COMMENT ON COLUMN mqtt.payload_rules.transform IS 'JMESPath expression that makes, of the decoded payload, what samples, device, time, metrics and presence look at; null: the payload itself.';
COMMENT ON COLUMN mqtt.payload_rules.samples IS 'SQL/JSON paths to the samples in a message, each below what the one before found; none: the message is one.';
COMMENT ON COLUMN mqtt.payload_rules.time IS '{"path", "unit": "s" | "ms" | "us" | "ns", "zone"}; null: as without a rule.';
COMMENT ON COLUMN mqtt.payload_rules.metrics IS 'Names (templates; * for those of members) to SQL/JSON paths, [paths], {"path", "type"} or null (omitted by *).';
COMMENT ON COLUMN mqtt.payload_rules.presence IS 'SQL/JSON path to what tells whether the device is online.';
COMMENT ON COLUMN mqtt.payload_rules.offline_after IS 'Seconds of silence after which a device with topics of this rule is offline; null: as the integration''s setting says.';
COMMENT ON COLUMN mqtt.payload_rules.preset IS 'The preset that it came from; null for one written by hand.';
COMMENT ON COLUMN mqtt.payload_rules.topic_prefix IS 'Compiled, as all columns after it: mqtt.topic_filter_prefix of topic.';
ALTER TABLE mqtt.payload_rules ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.payload_rules FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY admins_insert ON mqtt.payload_rules FOR INSERT TO authenticated
WITH CHECK (organization_id = ANY ((SELECT mqtt.current_organization_ids(true))::uuid []));
CREATE POLICY admins_update ON mqtt.payload_rules FOR UPDATE TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids(true))::uuid []))
WITH CHECK (organization_id = ANY ((SELECT mqtt.current_organization_ids(true))::uuid []));
CREATE POLICY admins_delete ON mqtt.payload_rules FOR DELETE TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids(true))::uuid []));
CREATE POLICY service_writes ON mqtt.payload_rules TO service_role USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON mqtt.payload_rules TO authenticated, service_role;
COMMIT;
