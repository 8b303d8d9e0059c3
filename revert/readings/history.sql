-- Deploy topicbase:readings/history to pg
-- requires: readings/series
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- Functions, not views: whoever reads says from when until when, and nobody reads years by accident.
CREATE OR REPLACE FUNCTION readings.metrics(devices text [], metrics text [], since timestamptz, until timestamptz) RETURNS TABLE (
    at timestamptz, device_id uuid, device text, metric text, value double precision, raw jsonb, received_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_request mqtt.telemetry_request;
BEGIN
    PERFORM mqtt.check_series(metrics.since, metrics.until, NULL, NULL, NULL, 1);
    v_request.device_ids := mqtt.reader_device_ids(metrics.devices);
    v_request.by_received := false;
    v_request.since := metrics.since;
    v_request.until := metrics.until;
    v_request.metrics := metrics.metrics;
    RETURN QUERY
    SELECT r.measured_at, d.id, d.external_id, m.metric, mqtt.metric_number(m.value)::double precision, m.value, r.received_at
    FROM mqtt.telemetry(v_request) AS r
    JOIN mqtt.devices AS d ON d.organization_id = r.organization_id AND d.id = r.device_id
    CROSS JOIN LATERAL mqtt.metric_values(r.payload, v_request.metrics) AS m
    WHERE d.organization_id = ANY ((SELECT mqtt.reader_organization_ids())::uuid [])
    ORDER BY r.measured_at, r.position, m.metric;
END;
$$;
COMMENT ON FUNCTION readings.metrics(text [], text [], timestamptz, timestamptz) IS
'Every value that devices measured, oldest first. devices are external ids or ids (null: all that the login reads), metrics their names (null: all); since (from) and until (before) are by when it was measured. value is the number, null if it is none; raw the value as it was sent. For charts readings.series is faster.
Errors: PT400 range_invalid.';

CREATE OR REPLACE FUNCTION readings.messages(devices text [], since timestamptz, until timestamptz) RETURNS TABLE (
    received_at timestamptz, measured_at timestamptz, device text, topic text, message_type text, direction text, qos smallint, retain boolean,
    payload jsonb, content_type text, body bytea, id uuid
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_organization integer;
    v_device_ids CONSTANT uuid [] := CASE WHEN messages.devices IS NOT NULL THEN mqtt.reader_device_ids(messages.devices) END;
BEGIN
    PERFORM mqtt.check_series(messages.since, messages.until, NULL, NULL, NULL, 1);
    FOR v_organization IN SELECT o.number FROM mqtt.organizations AS o WHERE o.id = ANY (mqtt.reader_organization_ids()) LOOP
        RETURN QUERY
        SELECT
            m.received_at, m.measured_at, d.external_id, m.topic, m.message_type, m.direction::text, m.qos, m.retain, m.payload, m.content_type, m.body, m.id
        FROM mqtt.mqtt_messages AS m
        LEFT JOIN mqtt.devices AS d ON d.organization_id = m.organization_id AND d.id = m.device_id
        WHERE m.organization = v_organization AND m.received_at >= messages.since AND m.received_at < messages.until
            AND m.last_received_at >= messages.since AND m.first_received_at < messages.until
            AND (v_device_ids IS NULL OR m.device_id = ANY (v_device_ids))
        ORDER BY m.received_at, m.position;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION readings.messages(text [], timestamptz, timestamptz) IS
'The messages as they came, in the order of their acceptance within each organization, by when they were received: since (from), until (before). devices are external ids or ids; null: also messages of no device. body has the bytes where the payload is not JSON.
Errors: PT400 range_invalid.';
GRANT EXECUTE ON FUNCTION readings.metrics(text [], text [], timestamptz, timestamptz), readings.messages(text [], timestamptz, timestamptz) TO topicbase_reader;
COMMIT;
