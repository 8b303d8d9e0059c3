-- Verify topicbase:process/process_heavy on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.process_heavy(uuid)', true, 'v', '{}');
ROLLBACK;
