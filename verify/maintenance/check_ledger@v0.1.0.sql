-- Verify topicbase:maintenance/check_ledger on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.check_ledger(boolean)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.check_stored(timestamptz, timestamptz)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.count_lacking(date, text)', true, 'v', '{}');
ROLLBACK;
