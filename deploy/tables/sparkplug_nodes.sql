-- Deploy topicbase:tables/sparkplug_nodes to pg
-- requires: tables/device_integrations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.sparkplug_nodes (
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL,
    node text NOT NULL,
    is_born boolean NOT NULL DEFAULT false,
    seq smallint,
    aliases jsonb NOT NULL DEFAULT '{}',
    devices text [] NOT NULL DEFAULT '{}',
    rebirth_at timestamptz,
    PRIMARY KEY (integration_id, node),
    FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX sparkplug_nodes_organization_idx ON mqtt.sparkplug_nodes (organization_id, integration_id);
COMMENT ON TABLE mqtt.sparkplug_nodes IS 'What a Sparkplug B edge node said at its birth, and its sequence: without these its data have no names.';
COMMENT ON COLUMN mqtt.sparkplug_nodes.node IS 'What comes before spBv1.0/ in its topics, group and edge node: org_acme/Plant/edge1. A login for other topics has no part in it.';
COMMENT ON COLUMN mqtt.sparkplug_nodes.seq IS 'Of the last message, 0 to 255; a gap means that one is missing.';
COMMENT ON COLUMN mqtt.sparkplug_nodes.aliases IS 'Names and datatypes of metrics by their alias: {"1": ["temperature", 10]}.';
COMMENT ON COLUMN mqtt.sparkplug_nodes.rebirth_at IS 'When a rebirth was last asked for.';
ALTER TABLE mqtt.sparkplug_nodes ENABLE ROW LEVEL SECURITY;
COMMIT;
