-- Verify topicbase:maintenance/cancel_orphans on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.cancel_orphans(integer)', true, 'v', '{}');
ROLLBACK;
