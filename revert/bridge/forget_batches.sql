-- Revert topicbase:bridge/forget_batches from pg
BEGIN;
DROP FUNCTION bridge.forget_batches(uuid, bigint []);
COMMIT;
