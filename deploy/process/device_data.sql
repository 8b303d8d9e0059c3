-- Deploy topicbase:process/device_data to pg
-- requires: process/latest_values
-- requires: tables/deferred_updates
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.latest_data(known jsonb, known_at timestamptz, data jsonb, data_at timestamptz) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN data_at >= coalesce(known_at, '-infinity') THEN coalesce(data, known) ELSE known END;
END;
COMMENT ON FUNCTION mqtt.latest_data(jsonb, timestamptz, jsonb, timestamptz) IS
'A device''s last_data once data has come as well: what was measured last, and is JSON.';

CREATE OR REPLACE FUNCTION mqtt.has_data(organization_id uuid, integration_id uuid, external_id text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM mqtt.devices AS d
        WHERE d.organization_id = has_data.organization_id AND d.integration_id = has_data.integration_id
            AND d.external_id = has_data.external_id AND d.last_data IS NOT NULL
    );
END;
$$;
COMMENT ON FUNCTION mqtt.has_data(uuid, uuid, text) IS 'Whether there is such a device, with data.';

CREATE OR REPLACE FUNCTION mqtt.known_values(organization_id uuid, integration_id uuid, external_id text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce((
        SELECT mqtt.latest_of(d)
        FROM mqtt.devices AS d
        WHERE d.organization_id = known_values.organization_id AND d.integration_id = known_values.integration_id
            AND d.external_id = known_values.external_id
    ), '{}');
END;
$$;
COMMENT ON FUNCTION mqtt.known_values(uuid, uuid, text) IS 'The latest values of a device; an empty object if there is no such device.';

CREATE OR REPLACE FUNCTION mqtt.is_news(organization_id uuid, integration_id uuid, external_id text, role text, is_retained boolean) RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT external_id IS NOT NULL AND role = 'telemetry'
        AND CASE WHEN is_retained THEN NOT mqtt.has_data(organization_id, integration_id, external_id) ELSE true END;
END;
COMMENT ON FUNCTION mqtt.is_news(uuid, uuid, text, text, boolean) IS
'Whether a message tells new data of its device: telemetry does; but what a broker had retained tells of no new measurement, and counts where there is none yet. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.presence_once_seen(known jsonb, seen_at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN NOT known ? 'by' OR seen_at IS NULL OR seen_at < (known ->> 'since')::timestamptz THEN known
        ELSE jsonb_build_object('state', 'online', 'since', seen_at)
    END;
END;
COMMENT ON FUNCTION mqtt.presence_once_seen(jsonb, timestamptz) IS
'A device''s presence once it has sent something: online where silence alone had made it offline (mqtt.note_silence), else as it was.';

CREATE OR REPLACE FUNCTION mqtt.device_name(name text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN octet_length(name) BETWEEN 1 AND 255 THEN name END;
END;
COMMENT ON FUNCTION mqtt.device_name(text) IS 'The name if it can be a device''s external id, else null.';

CREATE OR REPLACE FUNCTION mqtt.plausible_time(sent_at timestamptz, received_at timestamptz, max_behind interval, max_ahead interval) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN sent_at IS NOT NULL AND sent_at BETWEEN received_at - max_behind AND received_at + max_ahead THEN sent_at ELSE received_at END;
END;
COMMENT ON FUNCTION mqtt.plausible_time(timestamptz, timestamptz, interval, interval) IS
'When a message was measured: the time that the device gave, where that is plausible, else when it was received.';

CREATE OR REPLACE FUNCTION mqtt.known_device(organization_id uuid, integration_id uuid, external_id text) RETURNS TABLE (id uuid)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    SELECT d.id
    FROM (SELECT known_device.organization_id, known_device.integration_id, known_device.external_id) AS n
    LEFT JOIN mqtt.deferred_device_ids AS r USING (organization_id, integration_id, external_id)
    CROSS JOIN LATERAL (
        SELECT r.device_id AS id
        WHERE r.device_id IS NOT NULL
        UNION ALL
        SELECT x.id
        FROM mqtt.devices AS x
        WHERE r.device_id IS NULL AND x.organization_id = n.organization_id AND x.integration_id = n.integration_id AND x.external_id = n.external_id
    ) AS d;
END;
COMMENT ON FUNCTION mqtt.known_device(uuid, uuid, text) IS
'The device, if there is one: among those whose updates were deferred before its versions in mqtt.devices are read. A part of the statement that asks.';
COMMIT;
