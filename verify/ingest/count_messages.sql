-- Verify topicbase:ingest/count_messages on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.ledger_shard()', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.count_accepted(uuid, integer, boolean)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.count_dead(uuid, timestamptz)', true, 'v', '{}');
ROLLBACK;
