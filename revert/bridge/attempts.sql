-- Revert topicbase:bridge/attempts from pg
BEGIN;
DROP FUNCTION bridge.end_work(uuid);
DROP FUNCTION bridge.begin_work(uuid);
DROP FUNCTION bridge.finish_attempt(bigint);
DROP FUNCTION bridge.begin_attempt(timestamptz, bigint []);
DROP FUNCTION bridge.oldest_queued(uuid);
DROP FUNCTION bridge.organizations_of(tid []);
DROP FUNCTION bridge.suspects(tid []);
COMMIT;
