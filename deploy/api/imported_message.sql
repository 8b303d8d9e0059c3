-- Deploy topicbase:api/imported_message to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.imported_message AS (
    id uuid,
    "position" bigint,
    topic text,
    qos smallint,
    retain boolean,
    content_type text,
    payload jsonb,
    body bytea,
    decode_error text,
    measured_at timestamptz,
    external_id text,
    message_type text,
    role text,
    topic_role text,
    properties jsonb
);
COMMENT ON TYPE mqtt.imported_message IS 'A message that is imported, as it will be stored; external_id: of the device that its topic names.';
COMMIT;
