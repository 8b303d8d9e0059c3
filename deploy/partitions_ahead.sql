-- Deploy topicbase:partitions_ahead to pg
-- requires: mqtt_messages
-- requires: mqtt_dead_letters
-- requires: integration_activity_log
-- requires: mqtt_publish_receipts
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.prepare_partitions();
COMMIT;
