-- Deploy topicbase:tables/quota_buckets to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- Unlogged: after a crash the buckets are full again, which is what they would soon be anyway.
CREATE UNLOGGED TABLE mqtt.quota_buckets (
    subject_id uuid NOT NULL,
    shard smallint NOT NULL,
    tokens double precision NOT NULL,
    filled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (subject_id, shard)
) WITH (fillfactor = 50);
COMMENT ON TABLE mqtt.quota_buckets IS
'Token buckets of credentials and organizations that have a quota. A large one is spread over shards, so that its devices do not wait for one row; shards below 0 are of bytes (mqtt.take_bytes) and of the queue workers'' time (mqtt.spend_time).';
-- The few that each batch of the queue worker looks for.
CREATE INDEX quota_buckets_time_idx ON mqtt.quota_buckets (subject_id) WHERE shard = -1;
ALTER TABLE mqtt.quota_buckets ENABLE ROW LEVEL SECURITY;
COMMIT;
