-- Deploy topicbase:tables/rollup_types to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.rollup_part AS (
    organization_id uuid,
    device_id uuid,
    metric text,
    starts_at timestamptz,
    n bigint,
    total numeric,
    lowest numeric,
    highest numeric,
    first_value numeric,
    first_at timestamptz,
    last_value numeric,
    last_at timestamptz,
    delta numeric
);
COMMENT ON TYPE mqtt.rollup_part IS
'The numbers of a metric in a span of time, summarized. delta: how far a counter went on from the first to the last of them; after a fall it counts from 0.';
CREATE TYPE mqtt.reading_span AS (
    organization_id uuid,
    device_id uuid,
    since timestamptz,
    until timestamptz,
    kept bigint [],
    skipped bigint []
);
COMMENT ON TYPE mqtt.reading_span IS
'Readings of a device, measured from since until before until: those of the positions kept (null: all) without those skipped (null: none).';
CREATE TYPE mqtt.late_reading AS (
    topic integer,
    measured_at timestamptz,
    position bigint
);
COMMENT ON TYPE mqtt.late_reading IS 'A message that was stored after the time in which it was measured was closed.';
GRANT USAGE ON TYPE mqtt.rollup_part, mqtt.reading_span TO authenticated, service_role;
COMMIT;
