-- Deploy topicbase:tables/stream_viewers to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- Unlogged: after a crash, the processes enter themselves again.
CREATE UNLOGGED TABLE mqtt.stream_viewers (
    organization integer NOT NULL,
    process_id uuid NOT NULL,
    PRIMARY KEY (organization, process_id)
);
COMMENT ON TABLE mqtt.stream_viewers IS
'Which processes of the live stream have viewers of which organizations, by number: only then does a batch send NOTIFY topicbase_stream.';
ALTER TABLE mqtt.stream_viewers ENABLE ROW LEVEL SECURITY;
COMMIT;
