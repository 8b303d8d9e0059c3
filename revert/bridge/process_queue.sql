-- Revert topicbase:bridge/process_queue from pg
BEGIN;
DROP FUNCTION bridge.process_heavy(uuid);
DROP FUNCTION bridge.process_queue(integer, uuid [], uuid []);
COMMIT;
