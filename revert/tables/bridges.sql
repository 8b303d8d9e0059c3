-- Revert topicbase:tables/bridges from pg
BEGIN;
DROP TABLE mqtt.bridge_leases;
DROP TABLE mqtt.bridges;
COMMIT;
