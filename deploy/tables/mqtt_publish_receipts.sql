-- Deploy topicbase:tables/mqtt_publish_receipts to pg
-- requires: base/partitions
-- requires: tenants/membership
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.mqtt_publish_receipts (
    queued_at timestamptz NOT NULL,
    settled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    integration_id uuid NOT NULL,
    qos smallint NOT NULL,
    attempts smallint NOT NULL,
    reason_code smallint,
    state text NOT NULL CHECK (state IN ('sent', 'acknowledged', 'failed', 'expired', 'cancelled')),
    topic text NOT NULL,
    reason text,
    PRIMARY KEY (organization_id, queued_at, id)
) PARTITION BY RANGE (queued_at);
CREATE INDEX mqtt_publish_receipts_integration_idx ON mqtt.mqtt_publish_receipts (integration_id, queued_at);
-- The live stream reads on from it.
CREATE INDEX mqtt_publish_receipts_settled_at_idx ON mqtt.mqtt_publish_receipts (settled_at);
COMMENT ON TABLE mqtt.mqtt_publish_receipts IS
'What became of each message published; a row is written when that is settled, until then the message stands in the outbound queue.';
COMMENT ON COLUMN mqtt.mqtt_publish_receipts.state IS
'sent (QoS 0, handed to the broker''s socket), acknowledged (PUBACK or PUBCOMP), failed (refused; see reason), expired (message_expiry passed) or cancelled.';
COMMENT ON COLUMN mqtt.mqtt_publish_receipts.attempts IS 'How often it was handed to the broker.';
COMMENT ON COLUMN mqtt.mqtt_publish_receipts.reason_code IS 'MQTT 5 reason code of the broker''s answer (section 2.4); null where there was none.';
COMMENT ON COLUMN mqtt.mqtt_publish_receipts.reason IS 'The reason in words.';
SELECT mqtt.create_default_partition('mqtt.mqtt_publish_receipts');
ALTER TABLE mqtt.mqtt_publish_receipts ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.mqtt_publish_receipts FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.mqtt_publish_receipts FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.mqtt_publish_receipts TO authenticated, service_role;
COMMIT;
