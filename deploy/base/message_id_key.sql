-- Deploy topicbase:base/message_id_key to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.message_id_key (
    is_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_only_row),
    key bytea NOT NULL CHECK (octet_length(key) = 32)
);
COMMENT ON TABLE mqtt.message_id_key IS 'The secret of this installation that keeps the queues'' numbers out of message ids. No web role reads it. Changed, it changes the ids of what is queued.';
ALTER TABLE mqtt.message_id_key ENABLE ROW LEVEL SECURITY;
INSERT INTO mqtt.message_id_key (key) VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));
COMMIT;
