-- Deploy topicbase:tables/outbound_batches to pg
-- requires: tables/device_integrations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.outbound_batches (
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    bridge_id uuid NOT NULL,
    msg_ids bigint [] NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX outbound_batches_integration_idx ON mqtt.outbound_batches (organization_id, integration_id);
CREATE INDEX outbound_batches_id_idx ON mqtt.outbound_batches (id);
COMMENT ON TABLE mqtt.outbound_batches IS
'Journal of messages handed to a bridge: a row per batch, gone when the batch is settled. What a bridge that died leaves here was begun once and counts as an attempt.';
COMMENT ON COLUMN mqtt.outbound_batches.msg_ids IS 'The messages, by their msg_id in pgmq.q_mqtt_outbound.';
ALTER TABLE mqtt.outbound_batches ENABLE ROW LEVEL SECURITY;
CREATE POLICY service_reads ON mqtt.outbound_batches FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.outbound_batches TO service_role;
COMMIT;
