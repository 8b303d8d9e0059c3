-- Deploy topicbase:api/telemetry_types to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.telemetry_request AS (
    organization_id uuid,
    integration_id uuid,
    device_ids uuid [],
    by_received boolean,
    since timestamptz,
    until timestamptz,
    metrics text [],
    message_types text [],
    before_at timestamptz,
    before_position bigint,
    most integer
);
COMMENT ON TYPE mqtt.telemetry_request IS
'Which readings: of device_ids, or of all that the caller sees (in an organization, an integration); from since until before until, by one of the two times; before a place in that order; at most so many (null: all).';
CREATE TYPE mqtt.telemetry_data AS (
    "deviceId" text,
    metrics jsonb,
    "timestamp" timestamptz,
    cursor text
);
CREATE TYPE mqtt.rolled_span AS (
    organization_id uuid,
    device_id uuid,
    since timestamptz,
    hours_since timestamptz,
    hours_until timestamptz,
    until timestamptz,
    days_since timestamptz,
    days_until timestamptz,
    raw_since timestamptz,
    has_unrolled boolean
);
COMMENT ON TYPE mqtt.rolled_span IS
'What rollups serve of a request for a device: hours from hours_since until hours_until, of which days from days_since until days_until, and minutes around them from since until until; has_unrolled: not all metrics.';
GRANT USAGE ON TYPE mqtt.telemetry_request, mqtt.telemetry_data, mqtt.rolled_span TO authenticated, service_role;
COMMIT;
