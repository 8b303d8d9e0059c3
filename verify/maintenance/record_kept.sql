-- Verify topicbase:maintenance/record_kept on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.record_kept(mqtt.deletions, uuid, timestamptz, timestamptz)', false, 'v', '{}');
ROLLBACK;
