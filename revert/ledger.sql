-- Revert topicbase:ledger from pg
BEGIN;
DROP FUNCTION mqtt.roll_up_ledger(interval);
DROP FUNCTION mqtt.count_dead(uuid, timestamptz);
DROP FUNCTION mqtt.count_accepted(uuid, integer);
DROP FUNCTION mqtt.ledger_shard();
DROP TABLE mqtt.ledger;
COMMIT;
