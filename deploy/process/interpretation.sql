-- Deploy topicbase:process/interpretation to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.interpretation AS (
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
'What a payload rule makes of one sample in a message: the device, the time that it gives, its metrics (data), presence and metadata (facts), and why anything is missing.';
COMMIT;
