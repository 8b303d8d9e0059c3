-- Deploy topicbase:tables/rollups to pg
-- requires: tables/devices
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.rollup_progress (
    organization_id uuid PRIMARY KEY REFERENCES mqtt.organizations (id) ON DELETE CASCADE,
    closed_until timestamptz NOT NULL,
    rolled_until timestamptz NOT NULL,
    rolling_until timestamptz NOT NULL,
    rolled_device uuid,
    hours_since timestamptz NOT NULL DEFAULT '-infinity',
    minutes_since timestamptz NOT NULL DEFAULT '-infinity',
    raw_since timestamptz NOT NULL DEFAULT '-infinity',
    is_trimmed boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE mqtt.rollup_progress IS 'How far the readings of each organization are rolled up, by when they were measured.';
COMMENT ON COLUMN mqtt.rollup_progress.closed_until IS 'What was measured before, and is stored later, is late: mqtt.late_readings names it.';
COMMENT ON COLUMN mqtt.rollup_progress.rolled_until IS 'Until then all its devices are rolled up; those up to rolled_device, until rolling_until.';
COMMENT ON COLUMN mqtt.rollup_progress.hours_since IS 'Rollups of hours and days before were removed by retention; likewise minutes_since.';
COMMENT ON COLUMN mqtt.rollup_progress.raw_since IS 'Messages received before may have been removed by retention: rollups of that time are corrected, never made again.';
COMMENT ON COLUMN mqtt.rollup_progress.is_trimmed IS 'Whether what is older than hours_since and minutes_since is gone.';

CREATE TABLE mqtt.late_readings (
    organization_id uuid NOT NULL,
    device_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    first_position bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    positions bigint [] NOT NULL,
    PRIMARY KEY (organization_id, device_id, hour, first_position),
    FOREIGN KEY (organization_id, device_id) REFERENCES mqtt.devices (organization_id, id) ON DELETE CASCADE
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE mqtt.late_readings IS
'Readings that were stored after the time in which they were measured was closed, by device and hour of measurement, a row for each batch; until they are in the rollups.';
COMMENT ON COLUMN mqtt.late_readings.first_at IS 'When the first of them was measured; last_at: the last.';
COMMENT ON COLUMN mqtt.late_readings.positions IS 'Which they are. Empty: payload rules were applied again, so that the rollups of this hour are to be made again.';

CREATE TABLE mqtt.rollup_series (
    organization_id uuid NOT NULL,
    id integer NOT NULL GENERATED ALWAYS AS IDENTITY,
    device_id uuid NOT NULL,
    metric text,
    is_rolled boolean NOT NULL DEFAULT true,
    PRIMARY KEY (organization_id, id),
    UNIQUE NULLS NOT DISTINCT (organization_id, device_id, metric)
);
COMMENT ON TABLE mqtt.rollup_series IS
'The metrics of devices that are rolled up, numbered for the rows of their rollups. Without a foreign key: what a device had is deleted in batches (mqtt.deletions).';
COMMENT ON COLUMN mqtt.rollup_series.metric IS 'Its name; null: the device has more metrics than are rolled up (configuration.max_metrics), or such with too long a name.';
COMMENT ON COLUMN mqtt.rollup_series.is_rolled IS 'False for a metric with numbers of more than 30 digits before or after the point, which would take too much room.';

CREATE TABLE mqtt.rollups (
    organization_id uuid NOT NULL,
    series_id integer NOT NULL,
    hours smallint NOT NULL CHECK (hours IN (1, 24)),
    starts_at timestamptz NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    n bigint NOT NULL,
    total numeric NOT NULL,
    lowest numeric NOT NULL,
    highest numeric NOT NULL,
    first_value numeric NOT NULL,
    last_value numeric NOT NULL,
    delta numeric NOT NULL,
    PRIMARY KEY (organization_id, series_id, hours, starts_at),
    FOREIGN KEY (organization_id, series_id) REFERENCES mqtt.rollup_series (organization_id, id) ON DELETE CASCADE
) WITH (fillfactor = 90);
COMMENT ON TABLE mqtt.rollups IS
'The numbers of each metric by hour (hours = 1) and day (24), both UTC, as in mqtt.rollup_part. The hour that rolled_until is in, is rolled up until then.';

CREATE TABLE mqtt.rollup_minutes (
    organization_id uuid NOT NULL,
    series_id integer NOT NULL,
    starts_at timestamptz NOT NULL,
    minutes smallint [] NOT NULL,
    totals numeric [] NOT NULL,
    counts integer [],
    lows numeric [],
    highs numeric [],
    firsts numeric [],
    lasts numeric [],
    deltas numeric [],
    PRIMARY KEY (organization_id, series_id, starts_at),
    FOREIGN KEY (organization_id, series_id) REFERENCES mqtt.rollup_series (organization_id, id) ON DELETE CASCADE
)
-- Compressed from this size on, and kept in the row.
WITH (toast_tuple_target = 256);
ALTER TABLE mqtt.rollup_minutes ALTER totals SET STORAGE MAIN, ALTER lows SET STORAGE MAIN, ALTER highs SET STORAGE MAIN,
ALTER firsts SET STORAGE MAIN, ALTER lasts SET STORAGE MAIN, ALTER deltas SET STORAGE MAIN;
COMMENT ON TABLE mqtt.rollup_minutes IS
'The same by minute, those of an hour in one row, as arrays in the order of minutes (0 to 59). Where each minute has one number, totals holds it, and the other arrays are null.';

ALTER TABLE mqtt.rollup_progress ENABLE ROW LEVEL SECURITY;
ALTER TABLE mqtt.late_readings ENABLE ROW LEVEL SECURITY;
ALTER TABLE mqtt.rollup_series ENABLE ROW LEVEL SECURITY;
ALTER TABLE mqtt.rollups ENABLE ROW LEVEL SECURITY;
ALTER TABLE mqtt.rollup_minutes ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.rollup_progress FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.rollup_progress FOR SELECT TO service_role USING (true);
CREATE POLICY members_read ON mqtt.late_readings FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.late_readings FOR SELECT TO service_role USING (true);
CREATE POLICY members_read ON mqtt.rollup_series FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.rollup_series FOR SELECT TO service_role USING (true);
CREATE POLICY members_read ON mqtt.rollups FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.rollups FOR SELECT TO service_role USING (true);
CREATE POLICY members_read ON mqtt.rollup_minutes FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.rollup_minutes FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.rollup_progress, mqtt.late_readings, mqtt.rollup_series, mqtt.rollups, mqtt.rollup_minutes TO authenticated, service_role;
COMMIT;
