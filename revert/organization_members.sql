-- Revert topicbase:organization_members from pg
BEGIN;
DROP TABLE mqtt.organization_members;
COMMIT;
