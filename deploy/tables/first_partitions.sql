-- Deploy topicbase:tables/first_partitions to pg
-- requires: base/prepare_partitions
-- requires: tables/integration_activity_log
-- requires: tables/mqtt_dead_letters
-- requires: tables/mqtt_publish_receipts
-- requires: tables/settlements
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
-- Today, then the days ahead.
SELECT mqtt.prepare_partitions();
SELECT mqtt.prepare_partitions();
COMMIT;
