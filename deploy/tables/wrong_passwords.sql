-- Deploy topicbase:tables/wrong_passwords to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- Unlogged: what a crash forgets is a minute's count. Rows are as many as there are buckets, however many usernames are tried.
CREATE UNLOGGED TABLE mqtt.wrong_passwords (
    bucket integer PRIMARY KEY,
    since timestamptz NOT NULL,
    tries integer NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE mqtt.wrong_passwords IS 'Wrong passwords of late, counted by a hash of the username; existing usernames and others alike.';
COMMENT ON COLUMN mqtt.wrong_passwords.since IS 'When the minute began that is counted.';
ALTER TABLE mqtt.wrong_passwords ENABLE ROW LEVEL SECURITY;
COMMIT;
