-- Verify topicbase:maintenance/repair_clock on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.repair_clock()', true, 'v', '{}');
ROLLBACK;
