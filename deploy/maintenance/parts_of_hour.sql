-- Deploy topicbase:maintenance/parts_of_hour to pg
-- requires: tables/reading_parts
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.parts_of_hour(
    progress mqtt.rollup_progress, device_id uuid, hour timestamptz, until timestamptz, kept bigint [], is_changed boolean
) RETURNS SETOF mqtt.rollup_part
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_span mqtt.reading_span := ROW(progress.organization_id, parts_of_hour.device_id, hour, until, kept, NULL);
    v_known text [];
BEGIN
    IF kept IS NULL OR NOT is_changed THEN
        RETURN QUERY SELECT p.* FROM mqtt.reading_parts(ARRAY[v_span], NULL, '1 minute', 'UTC') AS p;
        RETURN;
    END IF;
    v_known := ARRAY(
        SELECT s.metric
        FROM mqtt.rollup_series AS s
        JOIN mqtt.rollups AS r ON r.organization_id = s.organization_id AND r.series_id = s.id AND r.hours = 1 AND r.starts_at = parts_of_hour.hour
        WHERE s.organization_id = progress.organization_id AND s.device_id = parts_of_hour.device_id
    );
    RETURN QUERY SELECT p.* FROM mqtt.reading_parts(ARRAY[v_span], NULL, '1 minute', 'UTC') AS p WHERE p.metric = ANY (v_known);
    -- Of what the rollups have nothing, no message can be gone that they count. What has come late meanwhile is added the next time.
    v_span.kept := NULL;
    v_span.skipped := (
        SELECT array_agg(n.position)
        FROM mqtt.late_readings AS l
        CROSS JOIN LATERAL unnest(l.positions) AS n (position)
        WHERE l.organization_id = progress.organization_id AND l.device_id = parts_of_hour.device_id AND l.hour = parts_of_hour.hour
            AND n.position <> ALL (kept)
    );
    RETURN QUERY SELECT p.* FROM mqtt.reading_parts(ARRAY[v_span], NULL, '1 minute', 'UTC') AS p WHERE p.metric <> ALL (v_known);
END;
$$;
COMMENT ON FUNCTION mqtt.parts_of_hour(mqtt.rollup_progress, uuid, timestamptz, timestamptz, bigint [], boolean) IS
'What mqtt.correct_rollups takes into a device''s rollups of an hour, by minute: all of its readings (kept is null); those kept; or where payload rules were applied again (is_changed), of metrics that the rollups have nothing of all, and those kept of the others.';
COMMIT;
