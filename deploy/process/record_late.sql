-- Deploy topicbase:process/record_late to pg
-- requires: tables/rollup_types
-- requires: tables/rollups
-- requires: tables/topics
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.record_late(readings mqtt.late_reading []) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
    INSERT INTO mqtt.late_readings (organization_id, device_id, hour, first_position, first_at, last_at, positions)
    SELECT
        t.organization_id, t.device_id, date_trunc('hour', r.measured_at), min(r.position), min(r.measured_at), max(r.measured_at), array_agg(r.position)
    FROM unnest(readings) AS r
    JOIN mqtt.topics AS t ON t.number = r.topic
    WHERE t.role = 'telemetry' AND t.device_id IS NOT NULL
    GROUP BY t.organization_id, t.device_id, date_trunc('hour', r.measured_at);
END;
$$;
COMMENT ON FUNCTION mqtt.record_late(mqtt.late_reading []) IS
'Names readings that mqtt.store_messages has stored of time that was closed, for mqtt.correct_late_readings and for queries.';
COMMIT;
