-- Revert topicbase:tables/readers from pg
BEGIN;
DROP TABLE mqtt.readers;
COMMIT;
