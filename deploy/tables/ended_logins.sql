-- Deploy topicbase:tables/ended_logins to pg
-- requires: tables/mqtt_credentials
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- Without an organization, which may be gone.
CREATE TABLE mqtt.ended_logins (
    username text PRIMARY KEY,
    client_id text NOT NULL,
    ended_at timestamptz NOT NULL,
    reason text NOT NULL CHECK (reason IN ('deleted', 'switched_off'))
);
COMMENT ON TABLE mqtt.ended_logins IS
'Logins that ended otherwise than by being revoked, rotated or having expired, for brokers that check logins only once; kept for 7 days.';
COMMENT ON COLUMN mqtt.ended_logins.reason IS 'deleted (by itself, or with its device, integration, organization or member), or switched_off, as its integration was.';
ALTER TABLE mqtt.ended_logins ENABLE ROW LEVEL SECURITY;
COMMIT;
