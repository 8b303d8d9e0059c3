-- Deploy topicbase:ingest/known_topic to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.known_topic AS (
    topic text,
    number integer
);
COMMENT ON TYPE mqtt.known_topic IS 'A topic and the number under which messages to it are stored now.';
COMMIT;
