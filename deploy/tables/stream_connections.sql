-- Deploy topicbase:tables/stream_connections to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- Unlogged: after a crash, the processes enter themselves again.
CREATE UNLOGGED TABLE mqtt.stream_connections (
    organization integer NOT NULL,
    process_id uuid NOT NULL,
    connections integer NOT NULL,
    PRIMARY KEY (organization, process_id)
);
COMMENT ON TABLE mqtt.stream_connections IS
'How many connections each process of the live stream has of each organization, by number: so that they have configuration.max_stream_connections together.';
ALTER TABLE mqtt.stream_connections ENABLE ROW LEVEL SECURITY;
COMMIT;
