-- Revert topicbase:careful_attempts from pg
BEGIN;
DROP FUNCTION bridge.end_work(uuid);
DROP FUNCTION bridge.begin_work(uuid);
DROP TABLE mqtt.workers;
DROP FUNCTION bridge.finish_attempt(bigint);
DROP FUNCTION bridge.begin_attempt(timestamptz, bigint []);
DROP FUNCTION bridge.suspects(tid []);
DROP FUNCTION mqtt.finish_attempt(bigint);
DROP FUNCTION mqtt.undo_attempt(bigint);
DROP FUNCTION mqtt.begin_attempt(timestamptz, bigint []);
COMMIT;
