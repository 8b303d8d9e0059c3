-- Revert topicbase:bridge/process_queue from pg
BEGIN;
DROP FUNCTION bridge.process_queue(integer);
COMMIT;
