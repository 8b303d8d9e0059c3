-- Deploy topicbase:api/message_list_types to pg
-- requires: tables/mqtt_messages
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.message_request AS (
    organizations integer [],
    topics integer [],
    is_restricted boolean,
    id uuid,
    direction mqtt.message_direction,
    since timestamptz,
    until timestamptz,
    stored_since timestamptz,
    cursor_at timestamptz,
    cursor_position bigint,
    cursor_id uuid,
    is_oldest_first boolean,
    most integer,
    packed_topics integer []
);
COMMENT ON TYPE mqtt.message_request IS
'Which messages of the history, in which order, after which place in it; what is null does not restrict them, but organizations (their numbers) and most are given. topics: numbers in mqtt.topics of all their topics, or with is_restricted of some. packed_topics: of these alone where they are packed.';
CREATE TYPE mqtt.listed_message AS (
    id uuid,
    organization_id uuid,
    integration_id uuid,
    device_id uuid,
    direction text,
    topic text,
    message_type text,
    payload jsonb,
    body text,
    content_type text,
    decode_error text,
    qos smallint,
    retain boolean,
    properties jsonb,
    sent_at timestamptz,
    received_at timestamptz,
    created_at timestamptz,
    measured_at timestamptz,
    timestamp_ignored boolean,
    failed boolean,
    cursor text
);
COMMENT ON TYPE mqtt.listed_message IS 'A row of api.mqtt_messages, with the cursor to go on from.';
GRANT USAGE ON TYPE mqtt.message_request, mqtt.listed_message TO authenticated, service_role;
COMMIT;
