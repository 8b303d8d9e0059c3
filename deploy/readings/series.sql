-- Deploy topicbase:readings/series to pg
-- requires: api/query_series
-- requires: readings/as_double
-- requires: readings/grant_reader
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.reader_device_ids(devices text []) RETURNS uuid []
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce(array_agg(d.id), '{}')
    FROM mqtt.devices AS d
    WHERE d.organization_id = ANY ((SELECT mqtt.reader_organization_ids())::uuid [])
        AND (devices IS NULL OR d.external_id = ANY (devices) OR d.id::text = ANY (devices));
END;
COMMENT ON FUNCTION mqtt.reader_device_ids(text []) IS 'Those of the devices that the login reads which have one of these external ids or ids; null: all.';

CREATE OR REPLACE FUNCTION readings.series(
    devices text [], metrics text [], since timestamptz, until timestamptz, bucket interval DEFAULT NULL, time_zone text DEFAULT 'UTC'
) RETURNS TABLE (
    at timestamptz, device_id uuid, device text, metric text, avg double precision, min double precision, max double precision,
    sum double precision, count bigint, first double precision, last double precision, delta double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_aggregates CONSTANT text [] := '{avg,min,max,sum,count,first,last,delta}';
    v_organizations CONSTANT uuid [] := mqtt.reader_organization_ids();
    v_request mqtt.telemetry_request;
    v_bucket interval := series.bucket;
BEGIN
    PERFORM mqtt.check_telemetry_range(1, series.bucket, 'measured', NULL);
    PERFORM mqtt.check_aggregates(v_aggregates, series.time_zone);
    v_request.device_ids := mqtt.reader_device_ids(series.devices);
    v_request.by_received := false;
    v_request.since := series.since;
    v_request.until := series.until;
    -- Each once, as a reading would count for each time that its metric is named.
    v_request.metrics := CASE WHEN series.metrics IS NOT NULL THEN ARRAY(
        SELECT DISTINCT m.name FROM unnest(series.metrics) AS m (name) WHERE m.name IS NOT NULL
    ) END;
    PERFORM mqtt.check_series(series.since, series.until, series.bucket, NULL, NULL, cardinality(v_request.device_ids));
    v_bucket := coalesce(v_bucket, mqtt.nice_bucket(series.since, series.until, series.time_zone, 500));
    RETURN QUERY EXECUTE format(
        $query$
        SELECT
            s.starts_at, d.id, d.external_id, s.metric, mqtt.as_double(s.summary[1]), mqtt.as_double(s.summary[2]), mqtt.as_double(s.summary[3]),
            mqtt.as_double(s.summary[4]), s.summary[5]::bigint, mqtt.as_double(s.summary[6]), mqtt.as_double(s.summary[7]), mqtt.as_double(s.summary[8])
        FROM (%s) AS s
        JOIN mqtt.devices AS d ON d.organization_id = s.organization_id AND d.id = s.device_id
        WHERE d.organization_id = ANY ($4)
        ORDER BY s.starts_at, d.external_id, d.id, s.metric
        $query$,
        mqtt.bucket_summaries_sql(v_aggregates, false)
    ) USING v_request, v_bucket, series.time_zone, v_organizations;
END;
$$;
COMMENT ON FUNCTION readings.series(text [], text [], timestamptz, timestamptz, interval, text) IS
'What a chart needs: a row for each device, metric and bucket with numbers, oldest first, from rollups where these serve. devices are external ids or ids (null: all that the login reads), metrics their names (null: all). since (from) and until (before) are by when it was measured. Without bucket, the shortest usual one is taken of which the range has at most 500. delta is how far a counter went on. A sum or delta outside the range of double precision is null. The numbers are those of api.query_series.
Errors: PT400 range_invalid, bucket_invalid, time_zone_invalid; PT413 too_many_points.';
GRANT EXECUTE ON FUNCTION readings.series(text [], text [], timestamptz, timestamptz, interval, text) TO topicbase_reader;
COMMIT;
