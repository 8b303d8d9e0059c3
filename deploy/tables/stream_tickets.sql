-- Deploy topicbase:tables/stream_tickets to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.stream_tickets (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    claims jsonb NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX stream_tickets_expires_at_idx ON mqtt.stream_tickets (expires_at);
COMMENT ON TABLE mqtt.stream_tickets IS
'Tickets for the live stream that nobody has used yet: what a browser sends in place of a token, where it can send no header.';
COMMENT ON COLUMN mqtt.stream_tickets.hash IS 'SHA-256 of the ticket.';
COMMENT ON COLUMN mqtt.stream_tickets.claims IS 'Of the token with which it was created: role, sub and exp.';
ALTER TABLE mqtt.stream_tickets ENABLE ROW LEVEL SECURITY;
COMMIT;
