-- Revert topicbase:careful_attempts from pg
BEGIN;
DROP FUNCTION bridge.finish_attempt(bigint);
DROP FUNCTION bridge.begin_attempt(timestamptz);
DROP FUNCTION mqtt.finish_attempt(bigint);
DROP FUNCTION mqtt.begin_attempt(timestamptz);
COMMIT;
