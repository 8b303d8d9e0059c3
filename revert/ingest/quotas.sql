-- Revert topicbase:ingest/quotas from pg
BEGIN;
DROP FUNCTION mqtt.out_of_time();
DROP FUNCTION mqtt.spend_time(uuid, numeric, double precision);
DROP FUNCTION mqtt.take_bytes(uuid, bigint, bigint);
DROP FUNCTION mqtt.take_tokens(uuid, numeric, integer, integer);
DROP FUNCTION mqtt.refilled(double precision, timestamptz, numeric, numeric);
DROP FUNCTION mqtt.bytes_shard();
DROP FUNCTION mqtt.time_shard();
COMMIT;
