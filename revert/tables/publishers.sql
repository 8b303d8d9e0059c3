-- Revert topicbase:tables/publishers from pg
BEGIN;
DROP TABLE mqtt.publishers;
COMMIT;
