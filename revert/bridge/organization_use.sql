-- Revert topicbase:bridge/organization_use from pg
BEGIN;
DROP FUNCTION bridge.organization_use(integer);
COMMIT;
