-- Verify topicbase:ingest/quotas on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.time_shard()', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.bytes_shard()', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.refilled(double precision, timestamptz, numeric, numeric)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.take_tokens(uuid, numeric, integer, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.take_bytes(uuid, bigint, bigint)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.spend_time(uuid, numeric, double precision)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.out_of_time()', true, 'v', '{}');
ROLLBACK;
