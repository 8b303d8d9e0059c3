-- Verify topicbase:tables/first_partitions on pg
BEGIN;
SELECT 1 / count(*) FROM pg_inherits WHERE inhparent = 'mqtt.history'::regclass;
ROLLBACK;
