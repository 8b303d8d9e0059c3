-- Deploy topicbase:tables/maintenance_failures to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.maintenance_failures (
    step text NOT NULL,
    subject text NOT NULL,
    failures integer NOT NULL DEFAULT 1,
    sqlstate text NOT NULL,
    failure text NOT NULL,
    failed_at timestamptz NOT NULL,
    retry_at timestamptz NOT NULL,
    failed_by xid8,
    PRIMARY KEY (step, subject)
);
COMMENT ON TABLE mqtt.maintenance_failures IS
'What maintenance could not do last time: a row for each organization, partition, day or table of a step, until it has succeeded, or nobody has tried it for a day.';
COMMENT ON COLUMN mqtt.maintenance_failures.subject IS 'What it failed for, in words; empty: the step as a whole.';
COMMENT ON COLUMN mqtt.maintenance_failures.failures IS 'How often in a row.';
COMMENT ON COLUMN mqtt.maintenance_failures.failed_by IS 'The transaction in which it failed last.';
ALTER TABLE mqtt.maintenance_failures ENABLE ROW LEVEL SECURITY;
COMMIT;
