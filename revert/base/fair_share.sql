-- Revert topicbase:base/fair_share from pg
BEGIN;
DROP FUNCTION mqtt.fair_share(bigint, bigint, integer);
COMMIT;
