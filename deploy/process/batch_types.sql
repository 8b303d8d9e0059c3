-- Deploy topicbase:process/batch_types to pg
-- requires: tables/rollup_types
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- What the steps of mqtt.store_messages hand on to each other.
CREATE TYPE mqtt.arrived_sample AS (
    msg_id bigint,
    enqueued_at timestamptz,
    place integer,
    organization_id uuid,
    integration_id uuid,
    credential_id uuid,
    message_id uuid,
    topic text,
    qos smallint,
    retain boolean,
    content_type text,
    properties jsonb,
    payload jsonb,
    body bytea,
    decode_error text,
    message_type text,
    topic_role text,
    sample integer,
    data jsonb,
    facts jsonb,
    external_id text,
    role text,
    sent_at timestamptz,
    measured_at timestamptz,
    is_retained boolean,
    is_news boolean,
    is_rule_time boolean,
    organization integer,
    number integer
);
COMMENT ON TYPE mqtt.arrived_sample IS 'A message taken from the queue, as mqtt.interpret_samples has it: in one row, or in a row for each sample that a payload rule finds in it. organization, number: those of its organization and topic, where the history has the message already.';

CREATE TYPE mqtt.device_news AS (
    organization_id uuid,
    integration_id uuid,
    external_id text,
    last_data jsonb,
    last_data_at timestamptz,
    last_seen_at timestamptz,
    latest jsonb,
    latest_since timestamptz,
    is_data_latest boolean
);
COMMENT ON TYPE mqtt.device_news IS 'What a batch tells of a device. latest: latest values that last_data does not tell; latest_since: when the first of them was measured; is_data_latest: whether the metrics of last_data are latest values as well, and newer.';

CREATE TYPE mqtt.seen_device AS (
    id uuid,
    integration_id uuid,
    external_id text
);
COMMENT ON TYPE mqtt.seen_device IS 'A device of which a batch tells.';

CREATE TYPE mqtt.numbered_topic AS (
    organization_id uuid,
    integration_id uuid,
    topic text,
    external_id text,
    message_type text,
    topic_role text,
    device_id uuid,
    organization integer,
    number integer,
    is_current boolean,
    is_by_pattern boolean
);
COMMENT ON TYPE mqtt.numbered_topic IS 'A topic of a batch and what it means; number: that of mqtt.topics, null for one that is not registered; organization: the number of its organization; is_by_pattern: whether that is what the topic pattern makes of it, and no payload rule.';

CREATE TYPE mqtt.settled_position AS (
    organization integer,
    received_at timestamptz,
    position bigint
);
COMMENT ON TYPE mqtt.settled_position IS 'Where the history has a message that a batch settles.';

CREATE TYPE mqtt.stored_batch AS (
    organizations uuid [],
    integrations uuid [],
    credentials uuid [],
    minutes timestamptz [],
    counts bigint [],
    first_at timestamptz [],
    last_at timestamptz [],
    weights bigint [],
    refused jsonb,
    positions mqtt.settled_position [],
    late mqtt.late_reading []
);
COMMENT ON TYPE mqtt.stored_batch IS
'What became of a batch: how many were stored of each organization, integration, credential and minute of acceptance, and how much work these were, in bytes (mqtt.record_stored); positions: of these (mqtt.record_settlements); refused: those to topics beyond the limit (mqtt.record_refused); late: readings of time that is closed (mqtt.record_late).';
COMMIT;
