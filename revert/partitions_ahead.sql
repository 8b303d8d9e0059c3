-- Revert topicbase:partitions_ahead from pg
BEGIN;
-- The partitions go with their tables.
SELECT 1;
COMMIT;
