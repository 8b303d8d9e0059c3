-- Deploy topicbase:readings/views to pg
-- requires: process/latest_values
-- requires: readings/grant_reader
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE VIEW readings.devices WITH (security_barrier = true) AS
SELECT
    d.id AS device_id, d.external_id AS device, d.name, o.name AS organization, i.name AS integration, d.presence ->> 'state' AS presence,
    (d.presence ->> 'since')::timestamptz AS presence_since, d.last_seen_at, d.metadata, d.created_at
FROM mqtt.devices AS d
INNER JOIN mqtt.organizations AS o ON o.id = d.organization_id
INNER JOIN mqtt.device_integrations AS i ON i.organization_id = d.organization_id AND i.id = d.integration_id
WHERE d.organization_id = ANY ((SELECT mqtt.reader_organization_ids())::uuid []);
COMMENT ON VIEW readings.devices IS 'The devices of the organizations that the login reads.';
COMMENT ON COLUMN readings.devices.device_id IS 'Its id';
COMMENT ON COLUMN readings.devices.device IS 'Its external id: the id in its topics';
COMMENT ON COLUMN readings.devices.name IS 'Name, for people';
COMMENT ON COLUMN readings.devices.organization IS 'Name of its organization';
COMMENT ON COLUMN readings.devices.integration IS 'Name of its integration';
COMMENT ON COLUMN readings.devices.presence IS 'online, offline or unknown';
COMMENT ON COLUMN readings.devices.presence_since IS 'Since when';
COMMENT ON COLUMN readings.devices.last_seen_at IS 'When it last sent anything';
COMMENT ON COLUMN readings.devices.metadata IS 'JSON object of the application''s';
COMMENT ON COLUMN readings.devices.created_at IS 'When it was registered';

CREATE OR REPLACE FUNCTION mqtt.reader_latest(latest jsonb, last_data jsonb, last_data_at timestamptz, is_data_latest boolean) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT mqtt.latest_values(latest, last_data, last_data_at, is_data_latest);
END;
COMMENT ON FUNCTION mqtt.reader_latest(jsonb, jsonb, timestamptz, boolean) IS 'mqtt.latest_values for a login that may not use the functions of schema mqtt.';

CREATE OR REPLACE VIEW readings.latest WITH (security_barrier = true) AS
SELECT
    d.id AS device_id, d.external_id AS device, m.key AS metric, (m.value ->> 'at')::timestamptz AS at,
    mqtt.metric_number(m.value -> 'value')::double precision AS value, m.value -> 'value' AS raw
FROM mqtt.devices AS d
CROSS JOIN LATERAL jsonb_each(mqtt.reader_latest(d.latest, d.last_data, d.last_data_at, d.is_data_latest)) AS m (key, value)
WHERE d.organization_id = ANY ((SELECT mqtt.reader_organization_ids())::uuid []);
COMMENT ON VIEW readings.latest IS 'The newest value of each metric of each device.';
COMMENT ON COLUMN readings.latest.device_id IS 'Device';
COMMENT ON COLUMN readings.latest.device IS 'Its external id';
COMMENT ON COLUMN readings.latest.metric IS 'Metric';
COMMENT ON COLUMN readings.latest.at IS 'When it was measured';
COMMENT ON COLUMN readings.latest.value IS 'The number; null if it is none';
COMMENT ON COLUMN readings.latest.raw IS 'The value as the device sent it';
GRANT SELECT ON readings.devices, readings.latest TO topicbase_reader;
-- A view calls functions as its reader.
GRANT EXECUTE ON FUNCTION mqtt.metric_number(jsonb), mqtt.reader_latest(jsonb, jsonb, timestamptz, boolean) TO topicbase_reader;
COMMIT;
