-- Verify topicbase:process/record_stored on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.record_stored(uuid[], uuid[], uuid[], timestamptz[], bigint[], timestamptz[], boolean)', true, 'v', '{}');
ROLLBACK;
