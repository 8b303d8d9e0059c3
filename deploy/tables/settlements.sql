-- Deploy topicbase:tables/settlements to pg
-- requires: base/partitions
-- requires: tenants/organizations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE SEQUENCE mqtt.settlement_numbers;
CREATE TABLE mqtt.settlements (
    settled_at timestamptz NOT NULL,
    number bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    first_position bigint NOT NULL,
    organization integer NOT NULL,
    message_count integer NOT NULL CHECK (message_count > 0),
    is_outgoing boolean NOT NULL,
    low_positions integer [],
    PRIMARY KEY (organization, is_outgoing, number, settled_at)
) PARTITION BY RANGE (settled_at);
COMMENT ON TABLE mqtt.settlements IS
'Which messages were settled in which order: one row for each batch, organization, direction and second of acceptance, never one for a message that came with others. Of one organization and direction, numbers become visible in their order, since whoever writes them holds a lock until the commit (mqtt.processing_lock, mqtt.settlement_lock): what a reader has read up to, nothing comes before. Partitioned by UTC day of settled_at.';
COMMENT ON COLUMN mqtt.settlements.number IS 'From mqtt.settlement_numbers, which all organizations share: never shown outside, where it would count their batches.';
COMMENT ON COLUMN mqtt.settlements.first_at IS 'received_at of the earliest of the messages, within a second of the latest (last_at): so that they are found by time.';
COMMENT ON COLUMN mqtt.settlements.first_position IS 'Position of the first of the messages (mqtt.history.position); they count by position, from 1.';
COMMENT ON COLUMN mqtt.settlements.is_outgoing IS 'Whether they were published, and so have positions of the outbound queue.';
COMMENT ON COLUMN mqtt.settlements.low_positions IS 'The low 30 bits of each position, rising; null where the positions follow each other without a gap.';
SELECT mqtt.create_default_partition('mqtt.settlements');
ALTER TABLE mqtt.settlements ENABLE ROW LEVEL SECURITY;
COMMIT;
