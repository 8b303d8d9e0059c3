-- Revert topicbase:organizations from pg
BEGIN;
DROP TABLE mqtt.organizations;
COMMIT;
