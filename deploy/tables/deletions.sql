-- Deploy topicbase:tables/deletions to pg
-- requires: tables/rollups
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.deletions (
    organization_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    kind text NOT NULL CHECK (kind IN ('device', 'messages', 'organization', 'rollups')),
    subject text,
    requested_by uuid,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'waiting', 'running', 'done')),
    integration_id uuid,
    device_id uuid,
    filter text,
    by_received boolean NOT NULL DEFAULT true,
    since timestamptz NOT NULL DEFAULT '-infinity',
    until timestamptz NOT NULL DEFAULT 'infinity',
    phase text NOT NULL DEFAULT 'messages' CHECK (phase IN ('messages', 'rollups', 'devices')),
    place text,
    is_clean boolean NOT NULL DEFAULT true,
    messages bigint NOT NULL DEFAULT 0,
    readings bigint NOT NULL DEFAULT 0,
    dead_letters bigint NOT NULL DEFAULT 0,
    receipts bigint NOT NULL DEFAULT 0,
    callbacks bigint NOT NULL DEFAULT 0,
    rollups bigint NOT NULL DEFAULT 0,
    others bigint NOT NULL DEFAULT 0,
    rollup_hours_kept bigint NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    failure text,
    retry_at timestamptz,
    PRIMARY KEY (organization_id, id),
    CHECK (kind <> 'rollups' OR phase = 'rollups')
);
CREATE INDEX deletions_open_idx ON mqtt.deletions (requested_at) WHERE state <> 'done';
CREATE INDEX deletions_finished_idx ON mqtt.deletions (finished_at) WHERE state = 'done';
COMMENT ON TABLE mqtt.deletions IS
'What was asked to be deleted, by whom, and how far that is: a row for each request, worked off by maintenance in bounded transactions. Without a foreign key, since it outlives what it deletes.';
COMMENT ON COLUMN mqtt.deletions.kind IS
'device: a device and perhaps its data; messages: those that match; organization: all of it; rollups: what devices left that were deleted with their integration.';
COMMENT ON COLUMN mqtt.deletions.subject IS 'The external id of the device, or the slug of the organization.';
COMMENT ON COLUMN mqtt.deletions.state IS 'queued, waiting (messages accepted before are still queued), running or done.';
COMMENT ON COLUMN mqtt.deletions.filter IS 'MQTT topic filter; null: whatever the topic. integration_id and device_id likewise.';
COMMENT ON COLUMN mqtt.deletions.by_received IS 'Whether since and until are of received_at; else of measured_at.';
COMMENT ON COLUMN mqtt.deletions.phase IS 'What is worked on: messages (of an organization: its rows in all tables), then rollups, or devices with their rollups and latest values.';
COMMENT ON COLUMN mqtt.deletions.place IS 'The table (of a partitioned one the partition) that this pass got to, or the device.';
COMMENT ON COLUMN mqtt.deletions.is_clean IS 'Whether this pass has found nothing yet: a phase ends with a pass that finds nothing.';
COMMENT ON COLUMN mqtt.deletions.others IS 'Deleted rows of all other tables.';
COMMENT ON COLUMN mqtt.deletions.rollup_hours_kept IS
'Hours of devices whose rollups still count what was deleted, since other messages of that time are gone already, so that they cannot be made again.';
COMMENT ON COLUMN mqtt.deletions.failures IS 'How often a step failed, but for reasons that pass, such as a lock: the more, the fewer rows are tried at once.';
COMMENT ON COLUMN mqtt.deletions.failure IS 'Why the last step failed, to be tried again at retry_at; null if it did not.';
ALTER TABLE mqtt.deletions ENABLE ROW LEVEL SECURITY;
-- Whoever has deleted an organization belongs to it no longer.
CREATE POLICY members_read ON mqtt.deletions FOR SELECT TO authenticated
USING (
    organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid [])
    OR (kind = 'organization' AND requested_by = (SELECT mqtt.current_user_id()))
);
CREATE POLICY service_reads ON mqtt.deletions FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.deletions TO authenticated, service_role;

CREATE TYPE mqtt.deleted_row AS (
    topic integer,
    received_at timestamptz,
    measured_at timestamptz,
    id uuid,
    is_message boolean,
    is_incoming boolean,
    is_reading boolean
);
COMMENT ON TYPE mqtt.deleted_row IS 'A deleted row of the history (is_message) or of what payload rules made of it; is_reading: its metrics were among the readings of a device.';
COMMIT;
