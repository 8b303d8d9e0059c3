-- Verify topicbase:clock_repair on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.repair_clock()', true, 'v', '{}');
ROLLBACK;
