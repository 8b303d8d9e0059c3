-- Revert topicbase:bridge/sleep from pg
BEGIN;
DROP FUNCTION bridge.wake(text);
DROP FUNCTION bridge.sleep(text);
COMMIT;
