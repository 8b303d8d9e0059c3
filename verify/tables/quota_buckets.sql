-- Verify topicbase:tables/quota_buckets on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.quota_buckets', '{}', '{}');
ROLLBACK;
