-- Deploy topicbase:tables/stream_position to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.stream_position AS (
    organization integer,
    incoming bigint,
    outgoing bigint,
    incoming_place integer,
    outgoing_place integer
);
COMMENT ON TYPE mqtt.stream_position IS
'How far a reader has read the settlements of an organization: the numbers of the last ones, in and out, and of each how many of its messages, 0 for all.';
COMMIT;
