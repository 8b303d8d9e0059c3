-- Deploy topicbase:process/device_data to pg
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

CREATE OR REPLACE FUNCTION mqtt.device_of_topic(topic text, topic_like text, device_level smallint) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN topic LIKE topic_like AND octet_length(split_part(topic, '/', device_level)) BETWEEN 1 AND 255 THEN split_part(topic, '/', device_level)
    END;
END;
COMMENT ON FUNCTION mqtt.device_of_topic(text, text, smallint) IS
'The external id that a topic names, by its integration''s topic pattern; null when it names none.';

CREATE OR REPLACE FUNCTION mqtt.plausible_time(sent_at timestamptz, received_at timestamptz, max_behind interval, max_ahead interval) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN sent_at BETWEEN received_at - max_behind AND received_at + max_ahead THEN sent_at ELSE received_at END;
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
