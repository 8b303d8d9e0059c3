-- Deploy topicbase:process/interpretation to pg
-- requires: base/decoded_payload
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.rule_message AS (
    place bigint,
    integration_id uuid,
    credential_id uuid,
    topic text,
    payload jsonb,
    body bytea,
    received_at timestamptz,
    login text,
    transformed mqtt.decoded_payload,
    metadata jsonb
);
COMMENT ON TYPE mqtt.rule_message IS
'A message for payload rules. place: the number by which it is found again, in the order of acceptance; payload: as the content type has it; login: else that of the credential; received_at: what relative times in it refer to; transformed: what the transform of its rule has made of it (mqtt.transformed), if there is one; metadata: what its decoder has found of the device besides, not null where payload is what Sparkplug B was decoded to.';

CREATE TYPE mqtt.raw_payload AS (
    msg_id bigint,
    body bytea
);
COMMENT ON TYPE mqtt.raw_payload IS 'The bytes of a message taken from the queue, whatever its payload is stored as.';

CREATE TYPE mqtt.interpretation AS (
    place bigint,
    rule_id uuid,
    sample integer,
    role text,
    external_id text,
    sent_at timestamptz,
    data jsonb,
    facts jsonb,
    reason text
);
COMMENT ON TYPE mqtt.interpretation IS
'What a payload rule makes of one sample in a message (place: that of the message): the device, the time that it gives, its metrics (data), presence and metadata (facts), and why anything is missing.';

CREATE TYPE mqtt.sparkplug_message AS (
    place bigint,
    integration_id uuid,
    node text,
    kind text,
    device text,
    body bytea,
    received_at timestamptz
);
COMMENT ON TYPE mqtt.sparkplug_message IS
'A Sparkplug B message. node: what comes before spBv1.0/ in its topic, group and edge node; kind: NBIRTH, DDATA, …; device: its external id.';

CREATE TYPE mqtt.found_metrics AS (
    data jsonb,
    reason text
);
COMMENT ON TYPE mqtt.found_metrics IS 'The metrics in a sample, and why one of them is missing.';
COMMIT;
