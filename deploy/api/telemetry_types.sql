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
GRANT USAGE ON TYPE mqtt.telemetry_request, mqtt.telemetry_data TO authenticated, service_role;
COMMIT;
