-- Revert topicbase:tables/workers from pg
BEGIN;
DROP TABLE mqtt.workers;
COMMIT;
