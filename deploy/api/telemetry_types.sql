-- Deploy topicbase:api/telemetry_types to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.telemetry_reading AS (
    organization_id uuid,
    device_id uuid,
    received_at timestamptz,
    measured_at timestamptz,
    metrics jsonb
);
CREATE TYPE mqtt.telemetry_data AS (
    "deviceId" text,
    metrics jsonb,
    "timestamp" timestamptz
);
GRANT USAGE ON TYPE mqtt.telemetry_reading, mqtt.telemetry_data TO authenticated, service_role;
COMMIT;
