-- Revert topicbase:bridge/maintenance from pg
BEGIN;
DROP FUNCTION bridge.cleanup();
DROP FUNCTION bridge.keep_house();
DROP FUNCTION bridge.check_intake(uuid);
COMMIT;
