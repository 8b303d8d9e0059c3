-- Deploy topicbase:tables/ledger to pg
-- requires: tables/ledger_levels
-- requires: tenants/membership
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.ledger (
    organization_id uuid NOT NULL,
    bucket timestamptz NOT NULL,
    shard smallint NOT NULL,
    accepted bigint NOT NULL DEFAULT 0,
    completed bigint NOT NULL DEFAULT 0,
    dead bigint NOT NULL DEFAULT 0,
    expired bigint NOT NULL DEFAULT 0,
    deleted bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, bucket, shard)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE mqtt.ledger IS
'Per organization and minute in which messages were accepted: how many, and what became of them. accepted = completed + dead + expired + still queued, always.';
COMMENT ON COLUMN mqtt.ledger.bucket IS 'Minute (whole hours once it is old, -infinity for all that is older than any term of retention) in which the messages were accepted.';
COMMENT ON COLUMN mqtt.ledger.deleted IS 'How many of those completed have been deleted since, by request (mqtt.deletions).';
COMMENT ON COLUMN mqtt.ledger.shard IS
'Rows that are added up: 0 and more by the backend that accepted and the time within the minute (mqtt.ledger_shard); below 0 one of mqtt.ledger_level_outcomes (-1, written by whoever settles messages), _minute (-3) and _hour (-2, both rolled up) and _settled (-4).';
-- What waits is looked for every second, among rows that may still change; hours that are settled only grow in number.
-- -4 is mqtt.ledger_level_settled(): the planner puts the number where a query names the function, and so sees that the index serves.
CREATE INDEX ledger_open_idx ON mqtt.ledger (organization_id, bucket) WHERE shard > -4;
CREATE INDEX ledger_settled_idx ON mqtt.ledger (bucket) WHERE shard = -4;
ALTER TABLE mqtt.ledger ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.ledger FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.ledger FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.ledger TO authenticated, service_role;
COMMIT;
