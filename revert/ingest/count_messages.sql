-- Revert topicbase:ingest/count_messages from pg
BEGIN;
DROP FUNCTION mqtt.count_dead(uuid, timestamptz);
DROP FUNCTION mqtt.count_accepted(uuid, integer, boolean);
DROP FUNCTION mqtt.ledger_shard();
COMMIT;
