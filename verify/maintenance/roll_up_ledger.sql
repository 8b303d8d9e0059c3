-- Verify topicbase:maintenance/roll_up_ledger on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.roll_up_ledger(interval)', true, 'v', '{}');
ROLLBACK;
