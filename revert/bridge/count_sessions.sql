-- Revert topicbase:bridge/count_sessions from pg
BEGIN;
DROP FUNCTION bridge.count_sessions(text [], bigint [], double precision []);
COMMIT;
