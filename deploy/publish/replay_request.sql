-- Deploy topicbase:publish/replay_request to pg
-- requires: tables/mqtt_messages
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.replay_request AS (
    organization_id uuid,
    integration_id uuid,
    topic text,
    error text,
    since timestamptz,
    until timestamptz,
    ids uuid [],
    to_integration_id uuid,
    to_topic text,
    patch jsonb,
    max_per_second numeric,
    max_messages integer
);
COMMENT ON TYPE mqtt.replay_request IS
'What to replay, where to and how fast: the history of integration_id, or where that is null the dead letters of the organization.';
CREATE TYPE mqtt.replay_message AS (
    place bigint,
    id uuid,
    failed_at timestamptz,
    replay_count smallint,
    direction mqtt.message_direction,
    integration_id uuid,
    credential_id uuid,
    message jsonb,
    body bytea,
    stored_position bigint,
    received_at timestamptz
);
COMMENT ON TYPE mqtt.replay_message IS
'A message to be replayed, as the queue will store it; place counts from 1, in the order of receipt. failed_at and replay_count belong to a dead letter. stored_position, received_at: where the history has it, if its effects alone are to be made.';
CREATE TYPE mqtt.redone_message AS (
    position bigint,
    received_at timestamptz,
    due_at timestamptz,
    integration_id uuid,
    credential_id uuid,
    body bytea
);
COMMENT ON TYPE mqtt.redone_message IS 'A message of the history whose effects are to be made again, from when on, and its bytes, if it came as such.';
CREATE TYPE mqtt.marked_message AS (
    id uuid,
    received_at timestamptz,
    failed_at timestamptz,
    position bigint,
    is_failed boolean
);
COMMENT ON TYPE mqtt.marked_message IS 'A message of the history that has had a dead letter, last at failed_at; is_failed: whether it is still marked as failed.';
COMMIT;
