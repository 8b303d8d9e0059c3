-- Revert topicbase:ingest/quotas from pg
BEGIN;
DROP FUNCTION mqtt.take_tokens(uuid, numeric, integer, integer);
COMMIT;
