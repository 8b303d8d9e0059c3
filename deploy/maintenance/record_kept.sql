-- Deploy topicbase:maintenance/record_kept to pg
-- requires: process/record_late
-- requires: tables/deletions
-- requires: tables/readings
-- requires: tables/rollups
-- requires: tables/topics
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.record_kept(deletion mqtt.deletions, device_id uuid, since timestamptz, until timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
    PERFORM mqtt.record_late(ARRAY(
        SELECT ROW(m.topic_number, m.measured_at, m.position)::mqtt.late_reading
        FROM mqtt.topics AS t
        JOIN mqtt.readings AS m ON m.topic_number = t.number AND m.role = 'telemetry'
        LEFT JOIN mqtt.late_readings AS l ON l.organization_id = t.organization_id AND l.device_id = t.device_id
            AND l.hour = date_trunc('hour', m.measured_at) AND m.position = ANY (l.positions)
        WHERE t.organization_id = deletion.organization_id AND t.device_id = record_kept.device_id
            AND m.measured_at >= since AND m.measured_at < until AND m.first_measured_at < until AND m.last_measured_at >= since
            AND m.received_at >= deletion.requested_at AND m.last_received_at >= deletion.requested_at AND l.device_id IS NULL
    ));
END;
$$;
COMMENT ON FUNCTION mqtt.record_kept(mqtt.deletions, uuid, timestamptz, timestamptz) IS
'Has a device''s readings of a range taken into its rollups again that were stored since the deletion was asked for: the rollups may have counted them, and are deleted.';
COMMIT;
