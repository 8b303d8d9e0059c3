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
    body bytea
);
COMMENT ON TYPE mqtt.replay_message IS
'A message to be replayed, as the queue will store it; place counts from 1, in the order of receipt. failed_at and replay_count belong to a dead letter.';
COMMIT;
