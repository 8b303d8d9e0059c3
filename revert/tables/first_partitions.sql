-- Revert topicbase:tables/first_partitions from pg
BEGIN;
-- The partitions go with their tables.
SELECT 1;
COMMIT;
