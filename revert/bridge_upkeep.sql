-- Revert topicbase:bridge_upkeep from pg
BEGIN;
DROP FUNCTION bridge.run_upkeep();
COMMIT;
