-- Verify topicbase:tables/ingest_keys on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.ingest_keys', '{}', '{}');
ROLLBACK;
