-- Deploy topicbase:tables/deferred_updates to pg
-- requires: tables/devices
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- While an old transaction holds back vacuum, whoever looks for a row reads all its versions since. So rows that each batch would update are
-- then updated every few seconds instead.
CREATE TABLE mqtt.deferred_device_updates (
    organization_id uuid NOT NULL,
    device_id uuid NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    number bigint GENERATED ALWAYS AS IDENTITY,
    last_data jsonb,
    last_data_at timestamptz,
    last_seen_at timestamptz,
    latest jsonb NOT NULL,
    is_data_latest boolean NOT NULL,
    PRIMARY KEY (noted_at, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
COMMENT ON TABLE mqtt.deferred_device_updates IS
'What the newest messages say of devices, one row a device and batch, while vacuum is held back; within seconds mqtt.apply_deferred_updates takes it into mqtt.devices. Else empty.';
ALTER TABLE mqtt.deferred_device_updates ENABLE ROW LEVEL SECURITY;

CREATE TABLE mqtt.deferred_credential_updates (
    organization_id uuid NOT NULL,
    credential_id uuid NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    number bigint GENERATED ALWAYS AS IDENTITY,
    uses bigint NOT NULL,
    last_connected_at timestamptz NOT NULL,
    PRIMARY KEY (noted_at, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
COMMENT ON TABLE mqtt.deferred_credential_updates IS 'The same of mqtt.mqtt_credentials: messages delivered over HTTP, one row a credential and batch.';
ALTER TABLE mqtt.deferred_credential_updates ENABLE ROW LEVEL SECURITY;

CREATE TABLE mqtt.deferred_device_ids (
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL,
    external_id text NOT NULL,
    device_id uuid NOT NULL,
    PRIMARY KEY (organization_id, integration_id, external_id),
    FOREIGN KEY (organization_id, integration_id, external_id) REFERENCES mqtt.devices (organization_id, integration_id, external_id)
    ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE mqtt.deferred_device_ids IS 'Which device it is, once its updates were deferred: found here without reading the versions it has in mqtt.devices. Else empty.';
ALTER TABLE mqtt.deferred_device_ids ENABLE ROW LEVEL SECURITY;
COMMIT;
