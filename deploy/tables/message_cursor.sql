-- Deploy topicbase:tables/message_cursor to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.message_cursor AS (
    at timestamptz,
    received_at timestamptz,
    organization_id uuid,
    id uuid
);
COMMENT ON TYPE mqtt.message_cursor IS 'The place of a row among others: the time that they are ordered by, and the key of the message (of a summary: its device).';
GRANT USAGE ON TYPE mqtt.message_cursor TO authenticated, service_role;
COMMIT;
