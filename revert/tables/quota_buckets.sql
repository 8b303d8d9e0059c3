-- Revert topicbase:tables/quota_buckets from pg
BEGIN;
DROP TABLE mqtt.quota_buckets;
COMMIT;
