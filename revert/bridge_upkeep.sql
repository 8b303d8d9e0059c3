-- Revert topicbase:bridge_upkeep from pg
BEGIN;
DROP FUNCTION bridge.cleanup();
DROP FUNCTION bridge.keep_house();
DROP FUNCTION bridge.check_intake(uuid);
COMMIT;
