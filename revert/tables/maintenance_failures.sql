-- Revert topicbase:tables/maintenance_failures from pg
BEGIN;
DROP TABLE mqtt.maintenance_failures;
COMMIT;
