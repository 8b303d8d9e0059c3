-- Revert topicbase:tables/ingest_keys from pg
BEGIN;
DROP TABLE mqtt.ingest_keys;
COMMIT;
